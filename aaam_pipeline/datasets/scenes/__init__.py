"""`scenes`: generated photograph-like scenes, so that the whole pipeline can be tried without a download.

Kinds of scene (a match, a beach, a street, ...) decide which labels go together; size, blur, darkness, half hidden
things and look-alikes decide how hard each label is. Picture `i` of a split depends on the
seed, the split and `i` only.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta

from aaam_pipeline.core.artifacts import write_csv
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.params import Struct
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.listing import SPLITS, Example, Listing
from aaam_pipeline.datasets.scenes.compose import LABELS, compose

_Number = tuple[str, int]
"""A picture's split, and its number there."""
_FIELDS = ["split", "file", "labels"]
_CHUNK = 40
"""Pictures that a process draws at a time: some tenths of a second, so that the progress bar moves."""
_ALONE_BELOW = 200
"""With fewer pictures than this, starting processes costs more than it saves."""


class ScenesParams(Struct, frozen=True):
    """`scenes.data` of params.yaml: how many pictures each split has, and `size`, their side in pixels."""

    train: Annotated[int, Meta(ge=1)] = 2400
    val: Annotated[int, Meta(ge=1)] = 400
    test: Annotated[int, Meta(ge=1)] = 800
    size: Annotated[int, Meta(ge=32)] = 128
    seed: Annotated[int, Meta(ge=0)] = 7


Params = ScenesParams


def download(params: ScenesParams, out: Path, report: Reporter) -> None:
    """Generate the pictures under the existing empty folder `out`: images/{split}/00000.jpg ... and labels.csv."""
    _generate(params, out, report, available_cores())


def _generate(params: ScenesParams, out: Path, report: Reporter, workers: int) -> None:
    for split in SPLITS:
        (out / "images" / split).mkdir(parents=True)
    pictures = [(split, number) for split in SPLITS for number in range(getattr(params, split))]
    rows = [_FIELDS]
    with report.task("scenes", len(pictures)) as advance:
        for row in _draw(partial(_make, params, out), pictures, workers):
            rows.append(row)
            advance(1)
    write_csv(out / "labels.csv", rows)


def _draw(make: Callable[[_Number], list[str]], pictures: list[_Number], workers: int) -> Iterator[list[str]]:
    """Yield each picture's row of the table, in order, made by `workers` processes."""
    if workers == 1 or len(pictures) < _ALONE_BELOW:
        yield from map(make, pictures)
        return
    # Spawned, not forked: the caller may hold threads (torch's), which a fork would leave behind half alive.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(make, pictures, chunksize=_CHUNK)


def _make(params: ScenesParams, out: Path, picture: _Number) -> list[str]:
    """Draw and write a picture; return its row (split, file, labels)."""
    split, number = picture
    drawn = compose(np.random.default_rng([params.seed, SPLITS.index(split), number]), params.size)
    name = f"images/{split}/{number:05}.jpg"
    drawn.image.save(out / name, quality=90)
    return [split, name, "|".join(drawn.labels)]


def read(raw: Path, params: ScenesParams) -> Listing:
    """Read back what `download` wrote under `raw`.

    Raises:
        DatasetError: the table or a picture is not there, or a line is wrong.
    """
    table = raw / "labels.csv"
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    try:
        head, *lines = [line.split(",") for line in table.read_text(encoding="utf-8").splitlines()] or [[]]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{table}: cannot be read ({error}); fetch the data set again") from error
    if head != _FIELDS:
        raise DatasetError(f"{table}:1: the columns must be {','.join(_FIELDS)}; fetch the data set again")
    for number, cells in enumerate(lines, start=2):
        if fault := _fault(raw, cells):
            raise DatasetError(f"{table}:{number}: {fault}; fetch the data set again")
        split, name, labels = cells
        splits[split].append(Example(f"{split}/{Path(name).stem}", raw / name, tuple(labels.split("|"))))
    for split, examples in splits.items():
        expected: int = getattr(params, split)
        if len(examples) != expected:
            raise DatasetError(f"{table}: {len(examples)} {split} pictures, not {expected}; fetch the data set again")
    return Listing(LABELS, splits)


def _fault(raw: Path, cells: list[str]) -> str:
    """Say what is wrong with a line of labels.csv; "" if nothing is."""
    if len(cells) != len(_FIELDS):
        return f"{len(cells)} columns, not {len(_FIELDS)}"
    split, name, labels = cells
    if split not in SPLITS:
        return f"unknown split {split!r}"
    if unknown := [label for label in labels.split("|") if label not in LABELS]:
        return f"unknown label {unknown[0]!r}"
    return "" if (raw / name).is_file() else f"{name} is missing"
