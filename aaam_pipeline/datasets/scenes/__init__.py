"""`scenes`: generated photograph-like scenes, so that the whole pipeline can be tried without a download.

Kinds of scene (a match, a beach, a street, ...) decide which labels go together; size, blur, darkness, half hidden
things and look-alikes decide how hard each label is. Picture `i` of a split depends on the
seed, the split and `i` only.
"""

import csv
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from aaam_pipeline.core.cores import available_cores
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.listing import SPLITS, Example, Listing
from aaam_pipeline.datasets.scenes.compose import compose
from aaam_pipeline.datasets.scenes.kinds import LABELS

__all__ = ["LABELS", "Params", "ScenesParams", "download", "read"]

_FIELDS = ["split", "file", "labels"]
_CHUNK = 40
"""Pictures in one piece of work: some tenths of a second, so that the progress bar moves."""
_ALONE_BELOW = 200
"""With fewer pictures than this, starting processes costs more than it saves."""


class ScenesParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `params.yaml` says about this data set."""

    train: Annotated[int, msgspec.Meta(ge=1)] = 2400
    val: Annotated[int, msgspec.Meta(ge=1)] = 400
    test: Annotated[int, msgspec.Meta(ge=1)] = 800
    size: Annotated[int, msgspec.Meta(ge=32)] = 128
    """Side of a picture in pixels."""
    seed: Annotated[int, msgspec.Meta(ge=0)] = 7


Params = ScenesParams


class _Chunk(msgspec.Struct, frozen=True):
    """Pictures `start` up to `stop` of one split."""

    split: str
    start: int
    stop: int


def download(params: ScenesParams, out: Path, report: Reporter) -> None:
    """Generate the pictures under the existing empty folder `out`: images/{split}/00000.jpg ... and labels.csv."""
    _generate(params, out, report, available_cores())


def _generate(params: ScenesParams, out: Path, report: Reporter, workers: int) -> None:
    for split in SPLITS:
        (out / "images" / split).mkdir(parents=True)
    chunks = list(_chunks(params))
    total = params.train + params.val + params.test
    with report.task("scenes", total) as advance, (out / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_FIELDS)
        for rows in _work(params, out, chunks, workers if total >= _ALONE_BELOW else 1):
            table.writerows(rows)
            advance(len(rows))


def _chunks(params: ScenesParams) -> Iterator[_Chunk]:
    for split in SPLITS:
        count: int = getattr(params, split)
        for start in range(0, count, _CHUNK):
            yield _Chunk(split, start, min(count, start + _CHUNK))


def _work(params: ScenesParams, out: Path, chunks: list[_Chunk], workers: int) -> Iterator[list[tuple[str, str, str]]]:
    """Yield each chunk's table rows, in order, made by `workers` processes."""
    make = partial(_make, params, out)
    if workers == 1:
        yield from map(make, chunks)
        return
    # Spawned, not forked: the caller may hold threads (torch's), which a fork would leave behind half alive.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(make, chunks)


def _make(params: ScenesParams, out: Path, chunk: _Chunk) -> list[tuple[str, str, str]]:
    """Draw and write a chunk's pictures; return their rows (split, file, labels)."""
    rows = []
    for number in range(chunk.start, chunk.stop):
        rng = np.random.default_rng([params.seed, SPLITS.index(chunk.split), number])
        picture = compose(rng, params.size)
        name = f"images/{chunk.split}/{number:05}.jpg"
        picture.image.save(out / name, quality=90)
        rows.append((chunk.split, name, "|".join(picture.labels)))
    return rows


def read(raw: Path, params: ScenesParams) -> Listing:
    """Read back what `download` wrote under `raw`."""
    table = raw / "labels.csv"
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{table}: cannot be read ({error}); fetch the data set again") from error
    if not lines or lines[0].split(",") != _FIELDS:
        raise DatasetError(f"{table}:1: the columns must be {','.join(_FIELDS)}; fetch the data set again")
    for number, line in enumerate(lines[1:], start=2):
        split, example = _example(raw, line, f"{table}:{number}")
        splits[split].append(example)
    for split, examples in splits.items():
        expected: int = getattr(params, split)
        if len(examples) != expected:
            raise DatasetError(f"{table}: {len(examples)} {split} pictures, not {expected}; fetch the data set again")
    return Listing(LABELS, splits)


def _example(raw: Path, line: str, where: str) -> tuple[str, Example]:
    """Read one line of labels.csv; `where` is its file and line, for an error."""
    cells = line.split(",")
    if len(cells) != len(_FIELDS):
        raise DatasetError(f"{where}: {len(cells)} columns, not {len(_FIELDS)}; fetch the data set again")
    split, name, joined = cells
    if split not in SPLITS:
        raise DatasetError(f"{where}: unknown split {split!r}; fetch the data set again")
    labels = tuple(joined.split("|"))
    unknown = [label for label in labels if label not in LABELS]
    if unknown:
        raise DatasetError(f"{where}: unknown label {unknown[0]!r}; fetch the data set again")
    path = raw / name
    if not path.is_file():
        raise DatasetError(f"{where}: {name} is missing; fetch the data set again")
    return split, Example(f"{split}/{path.stem}", path, labels)
