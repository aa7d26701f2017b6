"""Scores divided by each label's maximum: by hand, and which maxima are chosen."""

import numpy as np
import pytest
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.formats.scaling import scaled
from aaam_pipeline.metrics import scaling


def test_scores_are_divided_by_the_maximum_of_their_label_and_one_of_zero_changes_nothing() -> None:
    scores = np.array([[0.2, 0.1, 0.0], [0.6, 0.05, 0.3]], np.float32)
    found = scaled(scores, [0.4, 0.1, 0])
    np.testing.assert_allclose(found, [[0.5, 1, 0], [1.5, 0.5, 0.3]], rtol=1e-6)
    assert found.dtype == np.float64


def test_a_rare_label_comes_among_the_best_and_a_labels_ranking_stays() -> None:
    rng = np.random.default_rng(1)
    scores, targets = rng.random((50, 6)) * [1, 0.9, 0.8, 0.1, 0.05, 0.01], rng.integers(0, 2, (50, 6))
    before, after = (metrics.evaluate(each, targets, 2) for each in (scores, scaled(scores, scores.max(0))))
    assert after["map"] == before["map"]
    assert after["n_plus"] > before["n_plus"]


def test_f1_is_the_harmonic_mean() -> None:
    assert metrics.f1_at_k({"precision_at_k": 0.5, "recall_at_k": 0.25}) == pytest.approx(1 / 3)
    assert metrics.f1_at_k({"precision_at_k": 0.0, "recall_at_k": 0.0}) == 0


@pytest.mark.parametrize("better", ["train", "val"])
def test_the_maxima_are_those_with_the_better_f1_on_validation(better: str) -> None:
    # what is right once each label is divided by its own size
    rng = np.random.default_rng(2)
    targets, sizes = (rng.random((80, 5)) < 0.3).astype(np.uint8), np.array([1, 0.5, 0.2, 0.1, 0.02])
    val = (0.2 + 0.7 * targets + 0.1 * rng.random((80, 5))) * sizes
    train = np.ones((2, 5))
    if better == "train":
        train = np.stack([sizes, sizes / 2])
        # one high score in each half: the maxima of validation say nothing of the label
        val[[0, 1], 4] = 1
    found = metrics.choose_scaling(train, val, targets, 2)
    assert found.split == better
    assert found.maxima == pytest.approx((train if better == "train" else val).max(0))


def test_validation_images_are_not_judged_by_maxima_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def evaluate(scores: NDArray[np.float64], targets: NDArray[np.uint8], k: int) -> dict[str, float]:
        seen.append(scores)
        return metrics.evaluate(scores, targets, k)

    monkeypatch.setattr(scaling, "evaluate", evaluate)
    val = np.array([[0.5, 0.1], [0.25, 0.2], [0.125, 0.4], [1.0, 0.8]])
    found = metrics.choose_scaling(np.ones((1, 2)), val, np.eye(2, dtype=np.uint8)[[0, 1, 0, 1]], 1)
    np.testing.assert_allclose(seen[1], [[0.5, 0.125], [0.5, 0.5], [0.125, 0.5], [2.0, 2.0]])
    # of equal quality those of the training images, or all validation images'
    assert found.maxima in ([1, 1], [1.0, 0.8])


def test_one_validation_image_and_many_training_images_are_no_error() -> None:
    assert metrics.choose_scaling(np.ones((3, 2)), np.ones((1, 2)), np.ones((1, 2), np.uint8), 1).split == "train"
    assert len(np.arange(25_000)[metrics.sampled(25_000)]) == 8334
    assert len(np.arange(10_000)[metrics.sampled(10_000)]) == 10_000
    assert metrics.sampled(0) == slice(None, None, 1)
