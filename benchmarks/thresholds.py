"""Compare ways to choose from which score on a label is assigned: chosen on validation, measured on test images.

    python -m benchmarks.thresholds data/prepared/scenes models/scenes/hard ...

Several models, of several seeds for instance, give means and standard deviations.

Shapes: N images, L labels.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.datasets.prepared import read_split
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.metrics.thresholds import ENOUGH
from aaam_pipeline.models import bundle
from aaam_pipeline.training.distributed import DistributedContext
from aaam_pipeline.training.predict import predict
from benchmarks.table import Report

Scores = NDArray[np.floating]
Targets = NDArray[np.integer]


def common(scores_NL: Scores, targets_NL: Targets) -> Scores:
    """Return the threshold with the best F1 over all labels together, for each label."""
    best = metrics.choose_thresholds(scores_NL.reshape(-1, 1), targets_NL.reshape(-1, 1))
    return np.repeat(best, scores_NL.shape[1])


def own(scores_NL: Scores, targets_NL: Targets) -> Scores:
    """Return the threshold with the best F1 of each label by itself; the common one for labels of few images."""
    columns = zip(scores_NL.T, targets_NL.T, strict=True)
    alone_L = np.array([metrics.choose_thresholds(s[:, None], t[:, None])[0] for s, t in columns])
    few_L = (targets_NL > 0).sum(0) < ENOUGH
    return np.where(few_L, common(scores_NL, targets_NL), alone_L)


WAYS: dict[str, Callable[[Scores, Targets], Scores]] = {
    "one for all labels": common,
    "a label's own": own,
    "the higher of the two": metrics.choose_thresholds,
}


def measure(assigned_NL: NDArray[np.bool_], targets_NL: Targets) -> list[float]:
    """Return labels assigned to an image, and in percent: how many are right, how many are found, F1, its mean."""
    relevant_NL = targets_NL > 0
    right_L, assigned_L, there_L = (each.sum(0) for each in (assigned_NL & relevant_NL, assigned_NL, relevant_NL))
    f1_L = 2 * right_L / np.maximum(assigned_L + there_L, 1)
    right, assigned, there = right_L.sum(), assigned_L.sum(), there_L.sum()
    percent = (right / assigned, right / there, 2 * right / (assigned + there), f1_L[there_L > 0].mean())
    return [assigned / len(targets_NL), *(100 * each for each in percent)]


def main(prepared: Path, models: list[Path]) -> None:
    """Print the table."""
    report = Report()
    val, test = read_split(prepared, "val"), read_split(prepared, "test")
    measured: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for model in models:
        loaded = bundle.load(model, torch.device("cpu"))
        assert loaded.info.calibration, "models of the training stages are calibrated"
        val_NL, test_NL = (
            calibrate(
                predict(loaded.network, loaded.info.preprocess, split.pixels_NSS3, DistributedContext("cpu")).scores_NL,
                loaded.info.calibration,
            )
            for split in (val, test)
        )
        for way, choose in WAYS.items():
            measured[way].append(measure(test_NL >= choose(val_NL, val.targets_NL), test.targets_NL))
        report.info(f"{model}: " + ", ".join(f"{way} F1 {found[-1][3]:.1f} %" for way, found in measured.items()))
    columns = ["threshold", "labels an image", "right, %", "found, %", "F1, %", "mean F1 of labels, %"]
    add = report.table(
        f"Assigned labels, {test.targets_NL.sum() / len(test.targets_NL):.1f} an image are there", columns
    )
    for way, found in measured.items():
        means, deviations = np.mean(found, axis=0), np.std(found, axis=0, ddof=min(1, len(found) - 1))
        add([way, *(f"{mean:.1f} ± {by:.1f}" for mean, by in zip(means, deviations, strict=True))])


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(each) for each in sys.argv[2:]])
