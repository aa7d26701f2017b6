"""How much memory `annotate` takes for ten times the rows, and how soon a finished run is recognised.

The inputs are a list that repeats a hundred small pictures, the model is tiny: what is measured is the bookkeeping.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.material import save_bundle
from benchmarks.table import Report
from benchmarks.watched import watched

SHORT, FULL = (20_000, 200_000), (100_000, 1_000_000)
MINUTES = (2.5, 10.0)
PICTURES = 100
SIDE = 32


def run(report: Report, full: bool = False) -> None:
    """Measure every size."""
    sizes = FULL if full else SHORT
    names = ["rows", "first run, s", "rows/s", "peak, MB", f"/ {sizes[0]:,}", "nothing to do, s"]
    add = report.table(f"annotate, memory: a list of {PICTURES} pictures, repeated; {SIDE} px, vgg_small", names)
    first = None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = _pictures(folder / "pictures")
        model = save_bundle("vgg_small", SIDE, folder / "model")
        for count in sizes:
            peak, seconds, again = _measure(count, pictures, model, folder)
            first = first or peak
            numbers = [f"{x:.0f}" for x in (seconds, count / seconds, peak)]
            add([f"{count:,}", *numbers, f"{peak / first:.2f}", f"{again:.1f}"])


def _measure(count: int, pictures: list[Path], model: Path, folder: Path) -> tuple[float, float, float]:
    """Return peak memory in MB, seconds of the run, seconds of the same command once more."""
    listing = folder / f"{count}.txt"
    with listing.open("w") as stream:
        stream.writelines(f"{pictures[number % len(pictures)]}\n" for number in range(count))
    out = str(folder / f"annotations-{count}")
    command = ["annotate", str(listing), "--model", str(model), "--out", out, "--backend", "torch", "--device", "cpu"]
    seconds, peak = watched("aaam_pipeline", *command, "--batch-size", "256")
    again, _ = watched("aaam_pipeline", *command)
    return peak, seconds, again


def _pictures(folder: Path) -> list[Path]:
    folder.mkdir()
    chance = np.random.default_rng(1)
    paths = [folder / f"{number:03d}.jpg" for number in range(PICTURES)]
    for path in paths:
        Image.fromarray(chance.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((64, 48)).save(path)
    return paths
