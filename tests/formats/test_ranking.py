import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from aaam_pipeline.formats import ranking

probabilities = st.floats(0, 1, width=32)
code_tables = st.tuples(st.integers(1, 30), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 127, 254, 255]))
)


@given(probabilities)
def test_the_stored_score_is_the_nearest_level(score: float) -> None:
    code = int(ranking.encode(np.array([[score]]))[0, 0])
    assert abs(code / 255 - score) <= 0.5 / 255 + 1e-6


@given(st.lists(probabilities, min_size=2, max_size=20))
def test_encoding_keeps_the_order(scores: list[float]) -> None:
    codes = ranking.encode(np.sort(np.array(scores, dtype=np.float32))[:, None])
    assert (np.diff(codes[:, 0].astype(int)) >= 0).all()


@pytest.mark.parametrize(("score", "code"), [(0.0, 0), (1.0, 255), (0.5, 128), (1.0000001, 255), (-1e-7, 0)])
def test_bounds_of_the_encoding(score: float, code: int) -> None:
    assert ranking.encode(np.array([[score]]))[0, 0] == code


def test_half_precision_scores_are_encoded_as_well() -> None:
    assert ranking.encode(np.array([[1.0, 0.25]], dtype=np.float16)).tolist() == [[255, 64]]


@settings(deadline=None)
@given(code_tables)
def test_ranking_is_by_product_and_then_by_id(codes_NQ: NDArray[np.uint8]) -> None:
    products = [int(np.prod([int(code) for code in row])) for row in codes_NQ]
    expected = sorted(range(len(products)), key=lambda image: (-products[image], image))
    assert ranking.rank(codes_NQ, 999).tolist() == expected
    assert ranking.rank(codes_NQ, 5).tolist() == ranking.rank(codes_NQ, 15)[:5].tolist() == expected[:5]


def test_the_product_of_many_labels_does_not_overflow() -> None:
    codes = np.array([[255] * 6, [254] * 6, [255] * 6], dtype=np.uint8)
    assert ranking.rank(codes, 3).tolist() == [0, 2, 1]


def test_a_conjunction_is_the_product_of_probabilities() -> None:
    codes = np.array([[255, 255], [255, 51], [0, 255]], dtype=np.uint8)
    np.testing.assert_allclose(ranking.conjunction(codes), [1, 0.2, 0])
