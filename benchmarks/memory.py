"""How much memory `annotate` takes for ten times the rows, and how soon a finished run is recognised.

The inputs are a list that repeats a hundred small pictures, the model is tiny: what is measured is the bookkeeping.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.material import save_bundle
from benchmarks.table import show
from benchmarks.watched import watched

SIZES = (100_000, 1_000_000)
PICTURES = 100
SIDE = 32


def run() -> None:
    """Measure every size and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = _pictures(folder / "pictures")
        model = save_bundle("vgg_small", SIDE, folder / "model")
        found = [_measure(count, pictures, model, folder) for count in SIZES]
    first = found[0][1]
    rows = [
        [f"{count:,}", *(f"{x:.0f}" for x in (seconds, count / seconds, peak)), f"{peak / first:.2f}", f"{again:.1f}"]
        for count, peak, seconds, again in found
    ]
    names = ["rows", "first run, s", "rows/s", "peak, MB", f"/ {SIZES[0]:,}", "nothing to do, s"]
    show(f"annotate, memory: a list of {PICTURES} pictures again and again, {SIDE} px, vgg_small", names, rows)


def _measure(count: int, pictures: list[Path], model: Path, folder: Path) -> tuple[int, float, float, float]:
    """Return rows, peak memory in MB, seconds of the run, seconds of the same command once more."""
    listing = folder / f"{count}.txt"
    with listing.open("w") as stream:
        stream.writelines(f"{pictures[number % len(pictures)]}\n" for number in range(count))
    out = str(folder / f"annotations-{count}")
    command = ["annotate", str(listing), "--model", str(model), "--out", out, "--backend", "torch", "--device", "cpu"]
    seconds, peak = watched("aaam_pipeline", *command, "--batch-size", "256")
    again, _ = watched("aaam_pipeline", *command)
    return count, peak, seconds, again


def _pictures(folder: Path) -> list[Path]:
    folder.mkdir()
    chance = np.random.default_rng(1)
    paths = [folder / f"{number:03d}.jpg" for number in range(PICTURES)]
    for path in paths:
        Image.fromarray(chance.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((64, 48)).save(path)
    return paths
