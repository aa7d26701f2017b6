from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaam_pipeline.formats import ranking
from aaam_pipeline.metrics import pair_queries


def brute_force(scores: np.ndarray, targets: np.ndarray, depth: int) -> dict[tuple[int, int], tuple[int, float]]:
    """Return for each pair that occurs how many images hold it, and the precision of its first `depth` images."""
    found = {}
    for one, other in combinations(range(targets.shape[1]), 2):
        holding = {n for n in range(len(targets)) if targets[n, one] > 0 and targets[n, other] > 0}
        lacking = {n for n in range(len(targets)) if 0 in (targets[n, one], targets[n, other])}
        if holding and (lacking or (targets[:, [one, other]] >= 0).all()):
            stored = ranking.decode(ranking.encode(scores))
            first = sorted(holding | lacking, key=lambda n: (-stored[n][one] * stored[n][other], n))[:depth]
            found[one, other] = (len(holding), len(holding & set(first)) / depth)
    return found


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 6), st.integers(1, 12))
def test_pairs_counts_and_precisions_equal_brute_force(seed: int, images: int, labels: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    # of six values, which tie often
    scores = rng.integers(0, 6, (images, labels)) / 5
    targets = (rng.random((images, labels)) < 0.4).astype(np.int8)
    targets[rng.random(targets.shape) < rng.choice([0, 0, 0.3])] = -1
    ids, relevant, precision = pair_queries(scores, targets, depth)
    measured = {
        (int(pair[0]), int(pair[1])): (int(count), pytest.approx(value))
        for pair, count, value in zip(ids, relevant, precision, strict=True)
    }
    assert measured == brute_force(scores, targets, depth)


def test_more_than_255_images_with_both_labels_are_counted() -> None:
    targets = np.ones((300, 2), dtype=np.uint8)
    assert pair_queries(np.full((300, 2), 0.5), targets).relevant_P.tolist() == [300]


def test_no_pair_gives_empty_columns() -> None:
    ids, relevant, precision = pair_queries(np.eye(3), np.eye(3, dtype=np.uint8))
    assert (ids.shape, relevant.shape, precision.shape) == ((0, 2), (0,), (0,))


def test_a_pair_held_by_fewer_images_than_the_depth_cannot_reach_1() -> None:
    targets = np.array([[1, 1], [1, 0], [0, 1]])
    assert pair_queries(targets.astype(float), targets, depth=2).precision_P.tolist() == [0.5]
