"""kNN, 2PKNN and TagRel against brute force and against answers worked out by hand."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from aaam_pipeline.baselines import create, neighbours
from aaam_pipeline.core.errors import UsageError

# on a line, at 0, 1, 3 and 10
LINE = np.array([[0], [1], [3], [10]], np.float32)
LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], np.uint8)
QUERY = np.array([[1.2]], np.float32)


def scores(name: str, query: NDArray[np.float32] = QUERY, **params: object) -> NDArray[np.float32]:
    return create(name, unit=False, **params).fit(LINE, LABELS).predict_scores(query)


def test_knn_on_a_line() -> None:
    # nearest are the images at 1 and 0
    np.testing.assert_allclose(scores("knn", k=2), [[1, 0.5, 0]])
    np.testing.assert_allclose(scores("knn", k=4), [[0.5, 0.5, 0.25]])


def test_knn_weighted_by_distance_on_a_line() -> None:
    near, far = math.exp(-0.04 / 0.74), math.exp(-1.44 / 0.74)
    found = scores("knn", k=2, weights="distance")
    np.testing.assert_allclose(found, [[1, near / (near + far), 0]], rtol=1e-5)


def test_tagrel_on_a_line() -> None:
    # the votes of the images at 1 and 0, less how often a label is there at all
    np.testing.assert_allclose(scores("tagrel", k=2), [[1 - 0.5, 0.5 - 0.5, 0 - 0.25]])
    np.testing.assert_allclose(scores("tagrel", k=4), [[0, 0, 0]], atol=1e-6)


def test_2pknn_on_a_line() -> None:
    # the nearest with each label: at 1 for the first two, at 10 for the third; at distances 0.2 and 8.8
    one, ten = math.exp(-0.5 * 0.2), math.exp(-0.5 * 8.8)
    np.testing.assert_allclose(scores("2pknn", k=1, decay=0.5), [[one, one, ten]] / np.float64(one + ten), rtol=1e-5)
    # two with each label: those at 0, 1, 3 and 10
    zero, three = math.exp(-0.5 * 1.2), math.exp(-0.5 * 1.8)
    total = zero + one + three + ten
    wanted = [[(zero + one) / total, (one + three) / total, ten / total]]
    np.testing.assert_allclose(scores("2pknn", k=2, decay=0.5), wanted, rtol=1e-5)


def test_2pknn_sees_rare_labels_that_knn_does_not() -> None:
    assert scores("knn", k=3)[0, 2] == 0
    assert scores("2pknn", k=1, decay=0.5)[0, 2] > 0


def brute_force(
    query: NDArray[np.float32], train: NDArray[np.float32], targets: NDArray[np.uint8], k: int
) -> list[float]:
    """Let the k nearest vote, and with them all that are no farther away."""
    away = [sum((a - b) ** 2 for a, b in zip(query.tolist(), row, strict=True)) for row in train.tolist()]
    limit = sorted(away)[k - 1]
    votes = [row for row, distance in zip(targets.tolist(), away, strict=True) if distance <= limit]
    return [sum(column) / len(votes) for column in zip(*votes, strict=True)]


@pytest.mark.parametrize("k", [1, 3, 10, 40])
def test_knn_is_brute_force_with_ties(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    # whole numbers: many are equally far away, to the last bit
    train, queries = (rng.integers(0, 3, (count, 3)).astype(np.float32) for count in (40, 15))
    targets = rng.integers(0, 2, (40, 6)).astype(np.uint8)
    # few distances at a time
    monkeypatch.setattr(neighbours, "CELLS", 100)
    found = create("knn", k=k, unit=False).fit(train, targets).predict_scores(queries)
    np.testing.assert_allclose(found, [brute_force(query, train, targets, k) for query in queries], atol=1e-6)


@pytest.mark.parametrize("name", ["knn", "2pknn", "tagrel"])
def test_features_are_compared_by_direction(name: str) -> None:
    rng = np.random.default_rng(1)
    train, targets = rng.normal(size=(30, 4)).astype(np.float32), rng.integers(0, 2, (30, 3)).astype(np.uint8)
    queries = rng.normal(size=(5, 4)).astype(np.float32)
    found = create(name, k=3).fit(train, targets).predict_scores(queries)
    scaled = create(name, k=3).fit(train * rng.uniform(1, 9, (30, 1)).astype(np.float32), targets)
    np.testing.assert_allclose(scaled.predict_scores(queries * 5), found, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["knn", "2pknn", "tagrel"])
def test_no_neighbours_at_all_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="k must be at least 1, not 0"):
        create(name, k=0).fit(LINE, LABELS)


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="weights must be"):
        create("knn", weights="heavy").fit(LINE, LABELS)
