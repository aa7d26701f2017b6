"""The reading side of `prepare`: a prepared data set, as training, evaluation and figures open it.

Shapes: N images of a split, S side, L labels. Which files there are: `prepare`.
"""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import read_checksummed, read_json, real_path
from aaam_pipeline.core.errors import DatasetError, IntegrityError
from aaam_pipeline.formats.targets import UNKNOWN

FORMAT, VERSION = "aaam-pipe prepared data set", 1
PARTIAL = 2
"""The version of a data set in which labels of some images are unknown: readers of version 1 would take them as no."""


class Split(NamedTuple):
    """A prepared split: `pixels_NSS3` uint8 (memory-mapped), `targets_NL` int8: 1 yes, 0 no, -1 unknown."""

    image_ids: list[str]
    paths: list[Path]
    pixels_NSS3: NDArray[np.uint8]
    targets_NL: NDArray[np.int8]


class SplitInfo(msgspec.Struct):
    """Images of a split, those that could not be decoded, and labels an image has: mean, fewest, most."""

    images: int
    bad: int
    labels_mean: float
    labels_min: int
    labels_max: int


class PreparedFile(msgspec.Struct):
    """Size and SHA-256 of a file."""

    bytes: int
    sha256: str


class PreparedManifest(msgspec.Struct):
    """What a prepared data set holds. `size`: side S; `labels`: L; `missing`: images that the copy lacks.

    `version`: `VERSION`, or `PARTIAL` where labels of some images are unknown.
    """

    format: str
    version: int
    size: int
    labels: int
    missing: int
    splits: dict[str, SplitInfo]
    files: dict[str, PreparedFile]
    hash: str = ""


class _VocabularyFile(msgspec.Struct):
    labels: list[str]


def read_manifest(folder: Path) -> PreparedManifest:
    """Return what a prepared data set says of itself.

    Raises:
        UsageError: it is none.
        IntegrityError: it was changed, or is of another version.
    """
    path = folder / "manifest.json"

    def outdated(manifest: PreparedManifest) -> str:
        known = manifest.format == FORMAT and manifest.version in (VERSION, PARTIAL)
        return "" if known else f"{path} is of another version of this program; prepare the data set again"

    return read_checksummed(path, PreparedManifest, "a prepared data set", outdated)


def read_labels(folder: Path) -> list[str]:
    """Return the vocabulary of a prepared data set."""
    return read_json(folder / "vocabulary.json", _VocabularyFile, "a prepared data set").labels


def read_split(folder: Path, split: str) -> Split:
    """Open a prepared split.

    Raises:
        DatasetError: it is not there or damaged.
    """
    columns = {label: index for index, label in enumerate(read_labels(folder))}
    try:
        table = pq.read_table(folder / split / "examples.parquet").to_pydict()
        pixels_NSS3 = np.load(folder / split / "pixels.npy", mmap_mode="r")
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DatasetError(f"{folder / split} is not a prepared split: {error}") from None
    if len(table["image_id"]) != len(pixels_NSS3):
        raise DatasetError(f"{folder / split} is not a prepared split: its files have different numbers of images")
    targets_NL = np.zeros((len(pixels_NSS3), len(columns)), dtype=np.int8)
    for row, absent in enumerate(table.get("absent", ())):
        if absent is not None:
            targets_NL[row] = UNKNOWN
            targets_NL[row, [columns[label] for label in absent]] = 0
    for row, labels in enumerate(table["labels"]):
        targets_NL[row, [columns[label] for label in labels]] = 1
    return Split(table["image_id"], [real_path(Path(path)) for path in table["path"]], pixels_NSS3, targets_NL)


def content_fingerprint(folder: Path) -> str:
    """Identify the content of a prepared data set: training resumes only on the same. Its gigabytes are not read again.

    Raises:
        UsageError, IntegrityError: it is none, or a file has not the size that the manifest says.
    """
    manifest = read_manifest(folder)
    for name, info in manifest.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != info.bytes:
            raise IntegrityError(f"{path} is not what {folder / 'manifest.json'} says; prepare the data set again")
    return manifest.hash
