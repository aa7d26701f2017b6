"""What preparing a data set costs: time beside that of decoding alone, which is its limit, and room on disk.

Photographs of 640 x 480 (COCO's) are prepared at VGG16's 224 px on all cores, several times over; their files are in
memory by then. Decoding alone is the same on the same threads, where nobody writes or hashes the pictures.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.decode import decoding
from aaam_pipeline.datasets.listing import SPLITS, Example, Listing
from aaam_pipeline.datasets.prepare import prepare
from benchmarks.material import photos
from benchmarks.table import Report

SIZE, TIMES, REPEATS, PER = 224, 8, 5, 10_000
MINUTES = (1.5, 1.5)


class _Cost(NamedTuple):
    """Seconds for all photographs: by the clock, and of all cores together."""

    wall: float
    cpu: float


def run(report: Report, full: bool = False) -> None:
    """Measure decoding alone and the stage; there is one size."""
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(photos(Path(folder)).rglob("*.jpg"))
        examples = [Example(f"{turn}/{path.stem}", path, ("a",)) for turn in range(TIMES) for path in paths]
        listing = Listing(("a",), {split: examples[first :: len(SPLITS)] for first, split in enumerate(SPLITS)})
        out = Path(folder) / "prepared"
        names = ["", "images/s", f"time for {PER:,}", f"CPU time for {PER:,}"]
        add = report.table(f"prepare to {SIZE} px, {len(examples)} photographs of 640 px", names)
        alone = _cost(lambda: _decode_all(examples))
        add(["decode only", *_cells(alone, len(examples))])
        whole = _cost(lambda: prepare("photos", listing, out, SIZE, NullReporter()))
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    add(["prepare", *_cells(whole, len(examples))])
    add(["ratio", *[f"{alone.wall / whole.wall:.2f}"] * 2, f"{alone.cpu / whole.cpu:.2f}"])
    report.note(f"Disk: {size / len(examples) * PER / 1e9:.2f} GB for {PER:,}.")


def _cells(cost: _Cost, count: int) -> list[str]:
    return [f"{count / cost.wall:.0f}", f"{cost.wall * PER / count:.0f} s", f"{cost.cpu * PER / count:.0f} s"]


def _cost(work: Callable[[], object]) -> _Cost:
    """Return the least cost of several runs: the one least disturbed by the machine."""
    costs = []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        costs.append(_Cost(time.perf_counter() - wall, time.process_time() - cpu))
    return _Cost(min(cost.wall for cost in costs), min(cost.cpu for cost in costs))


def _decode_all(examples: list[Example]) -> None:
    with decoding(examples, SIZE) as pictures:
        for _ in pictures:
            pass
