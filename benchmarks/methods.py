"""What the compared methods take at the size of NUS-WIDE: seconds and peak memory, each in a process of its own.

`python -m benchmarks methods` measures all at full size, which takes hours; `python -m benchmarks.methods --scale 0.01 knn
svm` some methods on a hundredth of the images. Features are random: a centre for each label, noise, and a ReLU as in
VGG16's fc7; an image has one to four labels. They lie in files that the methods map into memory, 3.4 GB at full
size, in a temporary folder (TMPDIR). The peak counts the pages of these files that are in memory, which the system takes
back when it needs them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from aaam_pipeline.baselines import NAMES, create
from benchmarks.table import show

TRAIN, TEST, DIMENSION, LABELS = 125_449, 83_898, 4096, 81
ROWS = 4096
NOISE = 6.0


def run() -> None:
    """Measure all methods at full size."""
    _measure(NAMES, 1.0)


def _measure(names: tuple[str, ...], scale: float) -> None:
    train, test = (max(int(images * scale), 2) for images in (TRAIN, TEST))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (split, images) in enumerate((("train", train), ("test", test))):
            _make(folder, split, images, number)
        rows = [[name, *_in_process(name, folder)] for name in names]
    title = f"methods: {train:,} training and {test:,} test images x {DIMENSION:,}, {LABELS} labels"
    show(title, ["method", "fit, s", "predict, s", "peak, GB", "notes"], rows)


def _make(folder: Path, split: str, images: int, number: int) -> None:
    """Write features, float32, and labels of one split, block by block."""
    chance = np.random.default_rng([1, number])
    centres_LD = np.random.default_rng(0).standard_normal((LABELS, DIMENSION), np.float32)
    # frequent and rare labels, as real ones
    shares_L = 1 / np.arange(1, LABELS + 1)
    targets_NL = np.zeros((images, LABELS), np.uint8)
    for row in targets_NL:
        row[chance.choice(LABELS, chance.integers(1, 5), replace=False, p=shares_L / shares_L.sum())] = 1
    np.save(folder / f"{split}-targets.npy", targets_NL)
    features_ND = open_memmap(folder / f"{split}.npy", "w+", np.float32, (images, DIMENSION))
    for first in range(0, images, ROWS):
        block_BL = targets_NL[first : first + ROWS].astype(np.float32)
        noise_BD = NOISE * chance.standard_normal((len(block_BL), DIMENSION), np.float32)
        features_ND[first : first + ROWS] = np.maximum(block_BL @ centres_LD + noise_BD, 0)
    features_ND.flush()


def _in_process(name: str, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.methods", "--one", str(folder), name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    peak = f"{usage.ru_maxrss * 1024 / 1e9:.1f}"
    # the process is waited for above, which `Popen` does not know
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        return ["", "", peak, f"failed, exit code {process.returncode}"]
    found = json.loads(printed.splitlines()[-1])
    return [f"{found['fit']:.1f}", f"{found['predict']:.1f}", peak, found["plan"]]


def _one(name: str, folder: Path) -> None:
    """Fit and predict in this process; print what it took."""
    train, test = (np.load(folder / f"{split}.npy", mmap_mode="r") for split in ("train", "test"))
    targets = np.load(folder / "train-targets.npy")
    method = create(name)
    plan = method.plan(*train.shape, LABELS)
    print(f"{name}: {plan}", file=sys.stderr)
    started = time.perf_counter()
    method.fit(train, targets)
    fitted = time.perf_counter()
    method.predict_scores(test)
    print(json.dumps({"fit": fitted - started, "predict": time.perf_counter() - fitted, "plan": plan}))


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description="What the compared methods take.")
    parser.add_argument("methods", nargs="*", help="methods to measure; all where none is named", metavar="METHOD")
    parser.add_argument("--scale", type=float, default=1.0, help="share of NUS-WIDE's images, above 0; default 1")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if unknown := set(chosen.methods) - set(NAMES):
        parser.error(f"no method {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    if not 0 < chosen.scale <= 1:
        parser.error(f"--scale must be above 0 and at most 1, not {chosen.scale}")
    if chosen.one:
        _one(chosen.methods[0], chosen.one)
    else:
        _measure(tuple(chosen.methods) or NAMES, chosen.scale)


if __name__ == "__main__":
    _main()
