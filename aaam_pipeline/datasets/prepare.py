"""Stage `prepare`: decode every image once and store what training reads fastest.

Shapes: N images of a split, S side, L labels.

    vocabulary.json              the labels in order
    bad_images.csv               images that could not be decoded, with the reason; they are left out, never fatal
    <split>/pixels.npy           uint8 (N, S, S, 3), to be memory-mapped
    <split>/examples.parquet     row (in pixels.npy), image_id, path, labels
"""

import csv
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import file_sha256, fingerprint, publish, read_json, work_folder, write_json
from aaam_pipeline.core.errors import DatasetError, ImageError
from aaam_pipeline.core.progress import Advance, Reporter
from aaam_pipeline.datasets.listing import SPLITS, Example, Listing

Decode = Callable[[bytes], NDArray[np.uint8]]
Bad = list[tuple[str, Path, str, str]]


class Split(NamedTuple):
    """A prepared split: `pixels_NSS3` uint8 (memory-mapped), `targets_NL` uint8."""

    image_ids: list[str]
    paths: list[Path]
    pixels_NSS3: NDArray[np.uint8]
    targets_NL: NDArray[np.uint8]


class _VocabularyFile(msgspec.Struct):
    labels: list[str]


def prepare(listing: Listing, out: Path, decode: Decode, size: int, report: Reporter) -> None:
    """Write a listing in prepared form; `decode` is the model's own preprocessing, bytes -> uint8 (S, S, 3).

    Raises:
        DatasetError: a split holds no usable image.
    """
    work = work_folder(out)
    write_json(work / "vocabulary.json", {"labels": listing.labels})
    bad: Bad = []
    with report.task("prepare", sum(len(examples) for examples in listing.splits.values())) as advance:
        for split in SPLITS:
            _prepare_split(listing.splits[split], work / split, decode, size, bad, advance)
    with (work / "bad_images.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image_id", "path", "error_type", "error_message"])
        rows.writerows(bad)
    if bad:
        report.say(f"prepare: {len(bad)} images cannot be decoded and are left out, see {out / 'bad_images.csv'}")
    publish(work, out)


def _prepare_split(
    examples: list[Example], folder: Path, decode: Decode, size: int, bad: Bad, advance: Advance
) -> None:
    folder.mkdir()
    shape = (max(len(examples), 1), size, size, 3)
    pixels_NSS3 = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
    good: list[tuple[int, Example]] = []
    for row, (example, picture) in enumerate(_decoded(examples, decode)):
        if isinstance(picture, ImageError):
            bad.append((example.image_id, example.path, picture.kind, str(picture)))
        else:
            pixels_NSS3[row] = picture
            good.append((row, example))
        advance(1)
    if not good:
        raise DatasetError(f"no image of the split {folder.name} can be used")
    pixels_NSS3.flush()
    table = pa.table(
        {
            "row": pa.array([row for row, _ in good], pa.int64()),
            "image_id": [example.image_id for _, example in good],
            "path": [str(example.path) for _, example in good],
            "labels": pa.array([list(example.labels) for _, example in good], pa.list_(pa.string())),
        }
    )
    pq.write_table(table, folder / "examples.parquet")


def _decoded(examples: list[Example], decode: Decode) -> Iterator[tuple[Example, NDArray[np.uint8] | ImageError]]:
    """Decode on all cores (Pillow lets other threads run meanwhile), in order, holding a few pictures at a time."""

    def one(example: Example) -> NDArray[np.uint8] | ImageError:
        try:
            return decode(example.path.read_bytes())
        except OSError as error:
            return ImageError("unreadable", error.strerror or str(error))
        except ImageError as error:
            return error

    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(examples), 64 * workers):
            window = examples[start : start + 64 * workers]
            yield from zip(window, pool.map(one, window), strict=True)


def read_labels(folder: Path) -> list[str]:
    """Return the vocabulary of a prepared data set."""
    return read_json(folder / "vocabulary.json", _VocabularyFile, "a prepared data set").labels


def read_split(folder: Path, split: str) -> Split:
    """Open a prepared split.

    Raises:
        DatasetError: it is not there or damaged.
    """
    places = {label: place for place, label in enumerate(read_labels(folder))}
    try:
        table = pq.read_table(folder / split / "examples.parquet").to_pydict()
        pixels_NSS3 = np.load(folder / split / "pixels.npy", mmap_mode="r")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{folder / split} is not a prepared split: {error}") from None
    targets_NL = np.zeros((len(table["row"]), len(places)), dtype=np.uint8)
    for row, labels in enumerate(table["labels"]):
        targets_NL[row, [places[label] for label in labels]] = 1
    if table["row"] != list(range(len(pixels_NSS3))):
        pixels_NSS3 = pixels_NSS3[table["row"]]
    return Split(table["image_id"], [Path(path) for path in table["path"]], pixels_NSS3, targets_NL)


def content_fingerprint(folder: Path) -> str:
    """Identify the content of a prepared data set: training resumes only on the same."""
    return fingerprint([[path.name, file_sha256(path)] for path in sorted(folder.rglob("*")) if path.is_file()])
