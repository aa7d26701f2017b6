"""One compared method in a process of its own, so that the memory it took is its own.

Shapes: V validation images, N test images, L labels.
"""

import resource
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.baselines.feature_files import read_splits
from aaam_pipeline.baselines.registry import create
from aaam_pipeline.baselines.tuning import tune
from aaam_pipeline.datasets.prepared import read_labels
from aaam_pipeline.formats.calibration import sigmoid
from aaam_pipeline.formats.comparison import MethodResult, Trial
from aaam_pipeline.formats.scaling import scaled
from aaam_pipeline.formats.scores import ScoredSplit, write_scores


class MethodJob(NamedTuple):
    """A method to be run: its set hyper-parameters, features and labels, k labels an image, where test scores go.

    `fingerprint`: of all that its result depends on; `inputs`: of features, labels and k alone. `refit`: what scores
    the test images is fitted to training and validation images together.
    """

    name: str
    params: dict[str, Any]
    fingerprint: str
    inputs: str
    features: Path
    prepared: Path
    k: int
    scores: Path
    refit: bool = False


def tune_method(job: MethodJob, criterion: str) -> tuple[list[Trial], dict[str, Any], float]:
    """Return what was tried on validation, the best hyper-parameters of the method's grid, and the seconds it took."""
    splits, started = read_splits(job.features, job.prepared), time.perf_counter()
    train, val = splits["train"], splits["val"]
    method = create(job.name, **job.params)
    tuned = tune(method, train.features_ND, train.targets_NL, val.features_ND, val.targets_NL, job.k, criterion)
    trials = [Trial(params, value) for params, value in tuned.tried]
    # only what the grid names: the rest are set, or defaults
    chosen = {name: tuned.method.get_params()[name] for name in tuned.method.grid}
    return trials, chosen, time.perf_counter() - started


def run_method(job: MethodJob, params: dict[str, Any]) -> MethodResult:
    """Fit a method, write its test scores, and return its metrics and cost.

    With `refit`, what validation decides (calibration, maxima of scaled scores) and the cost are of the method that was
    fitted to the training images alone.
    """
    splits = read_splits(job.features, job.prepared)
    train, val, test = splits["train"], splits["val"], splits["test"]
    method = create(job.name, **job.params | params)
    (images, dimension), labels_count = train.features_ND.shape, train.targets_NL.shape[1]
    plan = method.plan(images, dimension, labels_count)
    started = time.perf_counter()
    method.fit(train.features_ND, train.targets_NL)
    fitted = time.perf_counter()
    raw_NL = method.predict_scores(test.features_ND)
    predicted = time.perf_counter()
    peak = peak_memory()
    sample = metrics.sampled(images)
    raw_train_NL = method.predict_scores(train.features_ND[sample])
    raw_val_NL = method.predict_scores(val.features_ND)
    if job.refit:
        features_ND = np.concatenate([train.features_ND, val.features_ND])
        targets_NL = np.concatenate([train.targets_NL, val.targets_NL])
        refitted = create(job.name, **job.params | params).fit(features_ND, targets_NL)
        raw_NL = refitted.predict_scores(test.features_ND)
    val_NL, test_NL, train_NL = as_probabilities(raw_val_NL, raw_NL, raw_train_NL)
    labels, calibration = read_labels(job.prepared), metrics.fit_calibration(val_NL, val.targets_NL)
    scaling = metrics.choose_scaling(train_NL, val_NL, val.targets_NL, job.k)
    scored = ScoredSplit(test.image_ids, test_NL, test.targets_NL, labels, job.k, calibration, scaling=scaling)
    write_scores(job.scores, scored)
    return MethodResult(
        job.name, job.fingerprint, method.get_params(), [],
        metrics.evaluate(val_NL, val.targets_NL, job.k), metrics.evaluate(test_NL, test.targets_NL, job.k),
        0.0, fitted - started, predicted - fitted, peak, plan,
        scaled_by=scaling.split,
        scaled=metrics.evaluate(scaled(test_NL, scaling.maxima), test.targets_NL, job.k),
        inputs=job.inputs,
    )  # fmt: skip


def as_probabilities(val_VL: NDArray[np.float32], *others: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return scores of several splits in [0, 1], as files of scores hold them, in the same order as they were.

    Those that are there already stay. Others become sigmoid((s - m) / d), m and d being mean and deviation of the
    validation scores: what calibrates them is then Platt's line on the scores themselves.
    """
    every = [val_VL, *others]
    if all(each.min(initial=0) >= 0 and each.max(initial=0) <= 1 for each in every):
        return every
    mean, deviation = float(val_VL.mean(dtype=np.float64)), float(val_VL.std(dtype=np.float64)) or 1.0
    return [sigmoid((each.astype(np.float64) - mean) / deviation).astype(np.float32) for each in every]


def peak_memory() -> int:
    """Return the most memory this process has held, in bytes."""
    try:
        # getrusage would also count the process that started this one
        line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
