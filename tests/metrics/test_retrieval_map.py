import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics import reference
from numpy.typing import NDArray

from aaam_pipeline.formats import ranking
from aaam_pipeline.metrics import average_precision, label_sets, query_ap, retrieval, retrieval_map


def naive(scores: NDArray[np.float64], targets: NDArray[np.uint8], size: int) -> dict[tuple[int, ...], float]:
    """Return the average precision of every set of `size` labels that occurs, with loops."""
    images, found = range(len(scores)), {}
    stored = ranking.decode(ranking.encode(scores))
    for labels in combinations(range(targets.shape[1]), size):
        holding = [n for n in images if all(targets[n][label] > 0 for label in labels)]
        if not holding:
            continue
        lacking = [n for n in images if any(targets[n][label] == 0 for label in labels)]
        if not lacking and not all(targets[n][label] >= 0 for n in images for label in labels):
            continue
        product = [math.prod(stored[n][label] for label in labels) for n in images]
        hits = [
            n for n in sorted(holding + lacking, key=lambda n: (-product[n], n)) if product[n] >= ranking.least_of(size)
        ]
        found[labels] = reference.ap([n in holding for n in hits], len(holding))
    return found


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 6), st.sampled_from([1, 2, 3]), st.booleans())
def test_it_is_what_a_naive_program_finds(seed: int, images: int, labels: int, size: int, coarse: bool) -> None:
    rng = np.random.default_rng(seed)
    # coarse: many ties, and scores of 0
    scores = rng.integers(0, 4, (images, labels)) / 3 if coarse else rng.random((images, labels))
    targets = (rng.random((images, labels)) < 0.4).astype(np.int8)
    targets[rng.random(targets.shape) < rng.choice([0, 0, 0.3])] = -1
    expected = naive(scores, targets, size)
    ids = label_sets(targets, size)
    assert [tuple(each) for each in ids.tolist()] == list(expected)
    np.testing.assert_allclose(query_ap(scores, targets, ids), list(expected.values()))
    mean, count = retrieval_map(scores, targets, size)
    assert count == len(expected)
    assert mean == pytest.approx(reference.mean(list(expected.values())))


def test_a_one_label_query_has_the_average_precision_of_the_stored_scores() -> None:
    rng = np.random.default_rng(1)
    scores, targets = rng.random((80, 5)) * 0.9 + 0.1, (rng.random((80, 5)) < 0.3).astype(np.uint8)
    codes = ranking.encode(scores).astype(float)
    found = query_ap(scores, targets, label_sets(targets, 1))
    np.testing.assert_allclose(found, average_precision(codes, targets))


def test_images_are_ranked_as_search_ranks_them() -> None:
    rng = np.random.default_rng(2)
    scores, targets = rng.random((40, 4)), np.zeros((40, 4), np.uint8)
    order = ranking.rank(ranking.encode(scores)[:, [0, 2, 3]], 40)
    for position in (0, 1, 7, 39):
        targets[:] = 0
        targets[order[position]] = [1, 0, 1, 1]
        assert query_ap(scores, targets, np.array([[0, 2, 3]])) == pytest.approx(1 / (position + 1))


def test_what_a_search_does_not_find_counts_as_missed() -> None:
    scores, targets = np.array([[0.9], [0.0009]]), np.array([[1], [1]])
    assert retrieval_map(scores, targets, 1) == (0.5, 1)


def test_ties_go_to_the_earlier_image() -> None:
    assert retrieval_map(np.array([[0.5], [0.5]]), np.array([[1], [0]]), 1) == (1.0, 1)
    assert retrieval_map(np.array([[0.5], [0.5]]), np.array([[0], [1]]), 1) == (0.5, 1)


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    scores, targets = rng.random((30, 6)), (rng.random((30, 6)) < 0.5).astype(np.uint8)
    ids = label_sets(targets, 3)
    whole = query_ap(scores, targets, ids)
    for block in (1, 31, 100):
        monkeypatch.setattr(retrieval, "BLOCK", block)
        np.testing.assert_array_equal(query_ap(scores, targets, ids), whole)


def test_no_query_at_all_is_no_error() -> None:
    eye = np.eye(3, dtype=np.uint8)
    assert retrieval_map(eye.astype(float), eye, 2) == (0.0, 0)
    assert label_sets(eye, 3).shape == (0, 3)
    assert label_sets(np.zeros((0, 4), np.uint8), 2).shape == (0, 2)
