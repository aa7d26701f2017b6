"""Every compared method at the size of NUS-WIDE: seconds to fit and to predict, and memory, each in its own process.

Random features with labels that depend on them: 125,449 x 4,096 to fit, 83,898 to predict, 81 labels. The short form
takes a hundredth of the images, AAAM_BENCH_SCALE=0.1 a tenth; AAAM_BENCH_METHODS=knn,svm names methods.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from aaam_pipeline.baselines import NAMES, create
from aaam_pipeline.baselines.compare import in_process
from aaam_pipeline.baselines.worker import peak_memory
from aaam_pipeline.core.errors import AaamError
from benchmarks.table import Report

TRAIN, TEST, DIMENSION, LABELS = 125_449, 83_898, 4_096, 81
BLOCK = 4_096
MINUTES = (3.0, 240.0)
# 4.8 labels an image in the mean, twice as many as in NUS-WIDE (2.4): what goes label by label takes longer
FREQUENCY = np.geomspace(0.3, 0.002, LABELS)


def run(report: Report, full: bool = False) -> None:
    """Measure seconds and memory of every method."""
    scale = float(os.environ.get("AAAM_BENCH_SCALE", "1" if full else "0.01"))
    named = os.environ.get("AAAM_BENCH_METHODS")
    train, test = round(TRAIN * scale), round(TEST * scale)
    title = f"{train:,} x {DIMENSION:,} to fit, {test:,} to predict"
    add = report.table(title, ["method", "fit", "predict", "peak", "remark"])
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder, "train"), train, 0)
        _write(Path(folder, "test"), test, 1)
        for name in named.split(",") if named else NAMES:
            try:
                add([name, *in_process(_measure, name, Path(folder))])
            except AaamError as error:
                add([name, "", "", "", str(error)])


def _write(path: Path, images: int, seed: int) -> None:
    """Write features as VGG16's are, half of them 0, and labels that can be learnt from them."""
    centres_LD = np.random.default_rng(9).normal(size=(LABELS, DIMENSION)).astype(np.float32)
    rng = np.random.default_rng(seed)
    features_ND = open_memmap(path.with_suffix(".npy"), "w+", np.float32, (images, DIMENSION))
    targets_NL = (rng.random((images, LABELS)) < FREQUENCY).astype(np.uint8)
    for first in range(0, images, BLOCK):
        noise = rng.standard_normal((min(BLOCK, images - first), DIMENSION), dtype=np.float32)
        features_ND[first : first + BLOCK] = np.maximum(noise + targets_NL[first : first + BLOCK] @ centres_LD / 4, 0)
    np.save(path.with_name(f"{path.name}_targets.npy"), targets_NL)


def _measure(name: str, folder: Path) -> list[str]:
    train_ND, test_MD = (np.load(folder / f"{split}.npy", mmap_mode="r") for split in ("train", "test"))
    targets_NL = np.load(folder / "train_targets.npy")
    method, started = create(name), time.perf_counter()
    remark = method.plan(len(train_ND), DIMENSION, LABELS)
    method.fit(train_ND, targets_NL)
    fitted = time.perf_counter()
    method.predict_scores(test_MD)
    predicted = time.perf_counter()
    return [f"{fitted - started:,.0f} s", f"{predicted - fitted:,.0f} s", f"{peak_memory() / 1e9:.1f} GB", remark]
