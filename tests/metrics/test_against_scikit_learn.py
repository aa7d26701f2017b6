"""The metrics against scikit-learn, and where ties decide against definitions written out independently."""

import numpy as np
import pytest
from metrics.reference import ap, evaluate
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.metrics.annotation import top_k

sklearn = pytest.importorskip("sklearn.metrics")

Example = tuple[NDArray[np.float64], NDArray[np.uint8]]
# images, labels, k: k below, at and above the number of labels; one image, one label
SIZES = [(40, 12, 4), (40, 12, 12), (25, 6, 9), (1, 7, 3), (9, 1, 1), (60, 30, 10)]


def example(seed: int, images: int, labels: int, levels: int = 0) -> Example:
    """Make random scores, of `levels` values only where ties are wanted; some labels and some images are empty."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((images, labels)) < rng.choice([0, 0.1, 0.4, 0.8], labels)).astype(np.uint8)
    targets[rng.random(images) < 0.1] = 0
    scores = rng.random((images, labels))
    return (rng.integers(levels, size=(images, labels)) / levels if levels else scores), targets


def ordered(scores: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return scores without ties that rank as `scores` do when the earlier of equal ones comes first."""
    order = np.argsort(-scores, axis=axis, kind="stable")
    falling = -np.arange(scores.shape[axis], dtype=np.float64)
    spread = np.broadcast_to(falling[:, None] if axis == 0 else falling, scores.shape)
    apart = np.empty_like(scores)
    np.put_along_axis(apart, order, spread, axis)
    return apart


@pytest.fixture(params=SIZES, ids=str)
def size(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    found: tuple[int, int, int] = request.param
    return found


@pytest.fixture(params=[0, 3, 1], ids=["no ties", "many ties", "all tied"])
def levels(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.mark.parametrize("seed", range(2))
class TestAgainstScikitLearn:
    def test_precision_and_recall_of_the_assigned_labels(
        self, seed: int, size: tuple[int, int, int], levels: int
    ) -> None:
        images, labels, k = size
        scores, targets = example(seed, images, labels, levels)
        assigned = top_k(scores, k).astype(int)
        assert (assigned.sum(1) == min(k, labels)).all()
        table = metrics.per_label(scores, targets, k)
        found = metrics.evaluate(scores, targets, k)
        precision, recall, _, positives = sklearn.precision_recall_fscore_support(
            targets, assigned, average=None, zero_division=0
        )
        # scikit-learn takes a single column for a binary problem: the positive class is the last
        there = positives[-labels:] if labels > 1 else targets.sum(0)
        if labels == 1:
            precision, recall = (
                [each(targets.ravel(), assigned.ravel(), zero_division=0)]
                for each in (sklearn.precision_score, sklearn.recall_score)
            )
        np.testing.assert_allclose(table["precision"], precision)
        np.testing.assert_allclose(table["recall"], recall)
        np.testing.assert_array_equal(table["positives"], there)
        present = targets.sum(0) > 0
        if present.any():
            assert found["precision_at_k"] == pytest.approx(np.mean(np.asarray(precision)[present]))
            assert found["recall_at_k"] == pytest.approx(np.mean(np.asarray(recall)[present]))
        assert found["n_plus"] == (np.asarray(recall) > 0).sum()

    def test_precision_and_recall_per_image(self, seed: int, size: tuple[int, int, int], levels: int) -> None:
        images, labels, k = size
        if labels == 1:
            pytest.skip("scikit-learn takes a single column for a binary problem")
        scores, targets = example(seed, images, labels, levels)
        assigned = top_k(scores, k).astype(int)
        found = metrics.evaluate(scores, targets, k)
        mean = sklearn.precision_score(targets, assigned, average="samples", zero_division=0)
        assert found["precision_at_k_per_image"] == pytest.approx(mean)
        some = targets.sum(1) > 0
        if some.any():
            mean = sklearn.recall_score(targets[some], assigned[some], average="samples", zero_division=0)
            assert found["recall_at_k_per_image"] == pytest.approx(mean)

    def test_average_precision_of_every_label(self, seed: int, size: tuple[int, int, int], levels: int) -> None:
        images, labels, k = size
        scores, targets = example(seed, images, labels, levels)
        present = targets.sum(0) > 0
        # scikit-learn gives tied images one threshold, the field's metric an order
        apart = ordered(scores, axis=0)
        expected = [
            sklearn.average_precision_score(targets[:, label], apart[:, label]) for label in np.flatnonzero(present)
        ]
        found = metrics.average_precision(scores, targets)
        np.testing.assert_allclose(found[present], expected)
        assert (found[~present] == 0).all()
        assert metrics.evaluate(scores, targets, k)["map"] == pytest.approx(np.mean(expected) if expected else 0)
        if not levels:
            plain = [
                sklearn.average_precision_score(targets[:, label], scores[:, label])
                for label in range(labels)
                if present[label]
            ]
            np.testing.assert_allclose(found[present], plain)

    def test_average_precision_of_an_images_ten_best_labels(
        self, seed: int, size: tuple[int, int, int], levels: int
    ) -> None:
        images, labels, k = size
        scores, targets = example(seed, images, labels, levels)
        apart = ordered(scores, axis=1)
        found = metrics.evaluate(scores, targets, k)["map_at_10"]
        labelled = np.flatnonzero(targets.sum(1) > 0)
        if labels <= 10:
            # all labels are among the ten best, so this is the ranking precision of scikit-learn
            expected = (
                sklearn.label_ranking_average_precision_score(targets[labelled], apart[labelled])
                if len(labelled) and labels > 1
                else float(len(labelled) > 0)
            )
        else:
            values = []
            for row in labelled:
                best = np.argsort(-apart[row])[:10]
                hits, relevant = targets[row, best], targets[row].sum()
                among = sklearn.average_precision_score(hits, apart[row, best]) if hits.any() else 0.0
                values.append(among * hits.sum() / min(10, relevant))
            expected = np.mean(values) if values else 0.0
        assert found == pytest.approx(expected)

    def test_ties_go_to_the_earlier_one(self, seed: int, size: tuple[int, int, int], levels: int) -> None:
        images, labels, k = size
        scores, targets = example(seed, images, labels, levels)
        found = metrics.evaluate(scores, targets, k)
        assert found == pytest.approx(evaluate(scores.tolist(), targets.tolist(), k))
        for label in range(labels):
            order = sorted(range(images), key=lambda image: (-scores[image, label], image))
            hits = [bool(targets[image, label]) for image in order]
            assert metrics.average_precision(scores, targets)[label] == pytest.approx(ap(hits, sum(hits)))


@pytest.mark.parametrize("seed", range(5))
def test_the_reliability_table_is_that_of_scikit_learn(seed: int) -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    scores, targets = example(seed, 60, 9)
    table = metrics.reliability(scores, targets)
    frequency, score = calibration.calibration_curve(targets.ravel(), scores.ravel(), n_bins=len(table.pairs_B))
    full = table.pairs_B > 0
    np.testing.assert_allclose(table.frequency_B[full], frequency)
    np.testing.assert_allclose(table.score_B[full], score)


def test_the_examples_are_what_they_are_meant_to_be() -> None:
    drawn = [example(seed, *size[:2]) for seed in range(2) for size in SIZES]
    assert any((targets.sum(0) == 0).any() for _, targets in drawn)
    assert any((targets.sum(1) == 0).any() for _, targets in drawn)
    assert any((targets.sum(1) > 10).any() for _, targets in drawn)
    scores, targets = example(1, 40, 12, 3)
    assert metrics.average_precision(scores, targets)[0] != pytest.approx(
        sklearn.average_precision_score(targets[:, 0], scores[:, 0])
    ), "ties must matter"
