"""Compare ways to calibrate a model's scores, by cross-validation on its validation split.

    python -m benchmarks.calibration models/scenes/hard data/prepared/scenes

Shapes: N images, L labels.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from aaam_pipeline import metrics
from aaam_pipeline.datasets.prepared import read_split
from aaam_pipeline.formats.calibration import Calibration, calibrate, logit
from aaam_pipeline.models import bundle
from aaam_pipeline.training.distributed import DistributedContext
from aaam_pipeline.training.predict import predict
from benchmarks.table import Report

FOLDS, DIVISIONS = 5, 3
# a probability of 0 for what is there would make any log loss infinite
CERTAIN = 1e-6
Scores = NDArray[np.floating]
Targets = NDArray[np.integer]
Map = Callable[[Scores], Scores]


def temperature(scores_NL: Scores, targets_NL: Targets) -> list[float]:
    """Return the best slope through the origin for each column, sought among 401 from e^-2 to e^2."""
    logits_NL, slopes = logit(scores_NL), np.exp(np.linspace(-2, 2, 401))
    losses = [(np.logaddexp(0, slope * logits_NL) - targets_NL * slope * logits_NL).sum(0) for slope in slopes]
    best: list[float] = slopes[np.argmin(losses, axis=0)].tolist()
    return best


def isotonic(scores_N: Scores, targets_N: Targets) -> Map:
    """Return the rising curve with the least squares, between its steps a line (pool adjacent violators)."""
    curve = IsotonicRegression(out_of_bounds="clip").fit(scores_N, targets_N)
    return lambda scores: np.asarray(curve.predict(scores.ravel()), np.float64).reshape(scores.shape)


def isotonic_per_label(scores_NL: Scores, targets_NL: Targets) -> Map:
    """Return one curve a label."""
    curves = [isotonic(*columns) for columns in zip(scores_NL.T, targets_NL.T, strict=True)]
    return lambda scores: np.stack([curve(column) for curve, column in zip(curves, scores.T, strict=True)], axis=1)


def lines(calibration: Calibration) -> Map:
    """Return a calibration as a function."""
    return lambda scores_NL: calibrate(scores_NL, calibration)


def one_temperature(scores_NL: Scores, targets_NL: Targets) -> Map:
    """Return one temperature for all labels."""
    labels = scores_NL.shape[1]
    return lines(Calibration(temperature(scores_NL.reshape(-1, 1), targets_NL.reshape(-1, 1)) * labels, [0] * labels))


def platt(prior: float) -> Callable[[Scores, Targets], Map]:
    """Return the fit of the project with a prior of its own."""
    return lambda scores_NL, targets_NL: lines(metrics.fit_calibration(scores_NL, targets_NL, prior))


WAYS: dict[str, Callable[[Scores, Targets], Map]] = {
    "none": lambda *_: lambda scores: scores,
    "temperature, one": one_temperature,
    "temperature, one a label": lambda s, t: lines(Calibration(temperature(s, t), [0] * s.shape[1])),
    "Platt, one line": platt(1e9),
    **{f"Platt, a line a label, prior {prior}": platt(prior) for prior in (3, 10, 30, 50, 100, 200, 300, 1000)},
    "isotonic, one": lambda s, t: isotonic(s.ravel(), t.ravel()),
    "isotonic, one a label": isotonic_per_label,
}


def held_out(fit: Callable[[Scores, Targets], Map], scores_NL: Scores, targets_NL: Targets, seed: int) -> Scores:
    """Return scores, each calibrated by a fit to the other folds."""
    fold_N = np.random.default_rng(seed).permutation(len(scores_NL)) % FOLDS
    calibrated_NL = np.zeros(scores_NL.shape)
    for fold in range(FOLDS):
        inside_N = fold_N == fold
        calibrated_NL[inside_N] = fit(scores_NL[~inside_N], targets_NL[~inside_N])(scores_NL[inside_N])
    return calibrated_NL


def measure(scores_NL: Scores, targets_NL: Targets) -> list[float]:
    """Return log loss an image, ECE and ECE per label, the latter in percent."""
    sure_NL = np.clip(scores_NL, CERTAIN, 1 - CERTAIN)
    loss = -np.log(np.where(targets_NL > 0, sure_NL, 1 - sure_NL)).sum(1).mean()
    errors = (metrics.calibration_error, metrics.label_calibration_error)
    return [float(loss), *(100 * error(scores_NL, targets_NL) for error in errors)]


def main(model: Path, prepared: Path) -> None:
    """Print the table."""
    loaded = bundle.load(model, torch.device("cpu"))
    val = read_split(prepared, "val")
    scores_NL, _ = predict(loaded.network, loaded.info.preprocess, val.pixels_NSS3, DistributedContext("cpu"))
    add = Report().table(f"Calibration of {loaded.info.model_id}", ["way", "log loss", "ECE, %", "per label, %"])
    for name, fit in WAYS.items():
        tried = [measure(held_out(fit, scores_NL, val.targets_NL, seed), val.targets_NL) for seed in range(DIVISIONS)]
        loss, ece, per_label = np.mean(tried, axis=0)
        add([name, f"{loss:.3f}", f"{ece:.2f}", f"{per_label:.2f}"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
