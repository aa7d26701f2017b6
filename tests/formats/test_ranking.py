import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from aaam_pipeline.formats import ranking

probabilities = st.floats(0, 1, width=32)
code_tables = st.tuples(st.integers(1, 30), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.uint16, shape, elements=st.sampled_from([0, 1, 32766, 32767, 65533, 65534]))
)


def stored(score: float) -> float:
    return float(ranking.decode(ranking.encode(np.array([score])))[0])


@given(probabilities)
def test_a_stored_score_is_near_at_both_ends(score: float) -> None:
    """Within half a step of log-odds: 0.03 % of the probability, and of the rest to 1."""
    kept, inside = stored(score), min(max(score, 6e-8), 1 - 6e-8)
    assert abs(kept - inside) <= 0.00026 * min(inside, 1 - inside) + 2e-9


@given(st.lists(probabilities, min_size=2, max_size=20))
def test_encoding_keeps_the_order(scores: list[float]) -> None:
    codes = ranking.encode(np.sort(np.array(scores, dtype=np.float32))[:, None])
    assert (np.diff(codes[:, 0].astype(int)) >= 0).all()


def test_codes_are_the_codes_of_their_probabilities_and_mirrored_for_the_opposite() -> None:
    codes = np.arange(ranking.LEVELS + 1, dtype=np.uint16)
    found = ranking.decode(codes)
    np.testing.assert_array_equal(ranking.encode(found), codes)
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(ranking.decode(ranking.LEVELS - codes), 1 - found, rtol=1e-8)


@pytest.mark.parametrize(
    ("score", "code"), [(0.0, 0), (1.0, 65534), (0.5, 32767), (1.0000001, 65534), (-1e-7, 0), (5e-8, 0)]
)
def test_bounds_of_the_encoding(score: float, code: int) -> None:
    assert ranking.encode(np.array([[score]]))[0, 0] == code


def test_near_certain_images_have_codes_of_their_own() -> None:
    certain = np.float32(1) - np.float32(2) ** -np.arange(8, 24, dtype=np.float32)
    assert len(set(ranking.encode(certain).tolist())) == 16


def test_half_precision_scores_are_encoded_as_well() -> None:
    assert ranking.encode(np.array([[1.0, 0.5]], dtype=np.float16)).tolist() == [[65534, 32767]]


@settings(deadline=None)
@given(code_tables)
def test_ranking_is_by_product_and_then_by_id(codes_NQ: NDArray[np.uint16]) -> None:
    products = [math.prod(ranking.PROBABILITIES[code] for code in row) for row in codes_NQ]
    expected = sorted(range(len(products)), key=lambda image: (-products[image], image))
    assert ranking.rank(codes_NQ, 999).tolist() == expected
    assert ranking.rank(codes_NQ, 5).tolist() == ranking.rank(codes_NQ, 15)[:5].tolist() == expected[:5]


def test_a_conjunction_is_the_product_of_probabilities() -> None:
    scores = np.array([[1, 1], [1, 0.2], [0.3, 0.7]])
    np.testing.assert_allclose(ranking.conjunction(ranking.encode(scores)), [1, 0.2, 0.21], rtol=6e-4)


def test_a_hit_has_a_thousandth_for_each_label() -> None:
    assert ranking.least_of(1) == pytest.approx(0.001, rel=1e-3)
    assert ranking.least_of(3) == pytest.approx(1e-9, rel=1e-3)
    assert stored(0.001) >= ranking.LEAST > stored(0.0009)


def test_the_bytes_of_older_indexes_are_codes_of_the_same_probability() -> None:
    np.testing.assert_allclose(ranking.decode(ranking.FROM_BYTES), np.arange(256) / 255, atol=2e-4)
    assert (np.diff(ranking.FROM_BYTES.astype(int)) > 0).all()
