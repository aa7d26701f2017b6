import numpy as np
import pytest

from aaam_pipeline import metrics
from aaam_pipeline.evaluation.bootstrap import margin, resample, resampled_ap, sample_means

N, L, RESAMPLES = 40, 7, 25


def test_the_ap_of_a_sample_is_that_of_its_rows() -> None:
    random = np.random.default_rng(1)
    scores, targets = random.random((N, L)).astype(np.float32), random.integers(-1, 2, (N, L)).astype(np.int8)
    targets[:, 0] = np.where(np.arange(N) == 3, 1, 0)
    targets[:, 1] = np.where(targets[:, 1] > 0, 1, -1)
    counts = resample(N, RESAMPLES)
    found = resampled_ap(scores, targets, counts)
    for counted, ap in zip(counts, found, strict=True):
        rows = np.repeat(np.arange(N), counted)
        judged = metrics.judged(targets[rows])
        assert (~np.isnan(ap)).tolist() == judged.tolist()
        assert ap[judged] == pytest.approx(metrics.average_precision(scores[rows], targets[rows])[judged])
    assert np.isnan(found[:, 0]).any()
    assert np.isnan(found[:, 1]).all()
    few = sample_means(found, np.arange(L) < 2)
    assert few.tolist() == pytest.approx(found[:, 0].tolist(), nan_ok=True)
    assert sample_means(found, np.arange(L) > 1) == pytest.approx(found[:, 2:].mean(1))


def test_samples_are_as_many_images_and_the_same_every_time() -> None:
    counts = resample(N)
    assert counts.shape == (200, N)
    assert (counts.sum(1) == N).all()
    assert (counts == resample(N)).all()


def test_an_interval_holds_what_other_images_have() -> None:
    """Of 100 draws of test images, about 95 intervals hold the mean AP of all."""
    random = np.random.default_rng(2)
    targets = random.integers(0, 2, (4000, 5))
    scores = targets + random.normal(size=targets.shape)
    truth, held = metrics.average_precision(scores, targets).mean(), 0
    for _ in range(100):
        rows = random.integers(0, len(targets), 200)
        value = metrics.average_precision(scores[rows], targets[rows]).mean()
        around = margin(resampled_ap(scores[rows], targets[rows], resample(200, 60)).mean(1))
        held += abs(value - truth) <= around
    assert 88 <= held <= 100
