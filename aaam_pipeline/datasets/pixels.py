"""Write the images of a split into one array on disk, row after row, so that a stopped run resumes.

Shapes: N images, S side.
"""

import hashlib
import io
import os
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from aaam_pipeline.core.artifacts import file_sha256, path_text
from aaam_pipeline.core.errors import DatasetError, ImageError
from aaam_pipeline.core.journal import Journal
from aaam_pipeline.core.progress import Advance
from aaam_pipeline.datasets.decode import decoding
from aaam_pipeline.datasets.listing import Example
from aaam_pipeline.imaging import Interpolation

# images between two lines of the journal: what a killed run loses at most
STEP = 512


class BadImage(NamedTuple):
    """A row of bad_images.csv."""

    image_id: str
    path: str
    error_type: str
    error_message: str


class WrittenSplit(NamedTuple):
    """The examples of a split that are in its pixels.npy, those that are not, and the file's SHA-256."""

    good: list[Example]
    bad: list[BadImage]
    sha256: str


class WrittenRows(msgspec.Struct):
    """Of `split` the first `done` examples are on disk, but the `bad` ones among those since the last entry."""

    split: str
    done: int
    bad: list[BadImage]


def count_done(journal: Journal[WrittenRows], split: str) -> int:
    """Return how many examples of a split are on disk or bad."""
    return max((rows.done for rows in journal.entries if rows.split == split), default=0)


def bad_images(journal: Journal[WrittenRows], split: str) -> list[BadImage]:
    """Return those of them that are bad."""
    return [bad for rows in journal.entries if rows.split == split for bad in rows.bad]


def write_pixels(
    examples: list[Example],
    path: Path,
    size: int,
    journal: Journal[WrittenRows],
    advance: Advance,
    interpolation: Interpolation = "bilinear",
) -> WrittenSplit:
    """Write pixels.npy of a split, named by the folder of `path`: the images that can be decoded, without holes.

    Raises:
        DatasetError: there is none.
    """
    path.parent.mkdir(exist_ok=True)
    split = path.parent.name
    resumed = count_done(journal, split)
    header = _header(len(examples), size)
    digest = hashlib.sha256(header)
    made = decoding(examples[resumed:], size, interpolation)
    with path.open("r+b" if resumed else "wb") as stream, made as pictures:
        stream.write(header)
        stream.seek((resumed - len(bad_images(journal, split))) * size * size * 3, os.SEEK_CUR)
        stream.truncate()
        for start in range(resumed, len(examples), STEP):
            step = examples[start : start + STEP]
            bad = []
            for example, picture in zip(step, pictures, strict=False):
                if isinstance(picture, ImageError):
                    bad.append(BadImage(example.image_id, path_text(example.path), picture.kind, str(picture)))
                else:
                    content = picture.reshape(size, size, 3).tobytes()
                    stream.write(content)
                    digest.update(content)
                advance(1, failed=isinstance(picture, ImageError))
            stream.flush()
            os.fsync(stream.fileno())
            journal.append(WrittenRows(split, start + len(step), bad))
        bad = bad_images(journal, split)
        if len(bad) == len(examples):
            # a run after they are repaired must start over
            journal.close()
            raise DatasetError(f"no image of the split {split} can be used")
        if bad:
            stream.seek(0)
            stream.write(_header(len(examples) - len(bad), size))
    left_out = {each.image_id for each in bad}
    good = [example for example in examples if example.image_id not in left_out]
    # where nothing is bad and nothing was resumed, the digest was made on the way; else the file is read once more
    return WrittenSplit(good, bad, file_sha256(path) if bad or resumed else digest.hexdigest())


def _header(count: int, size: int) -> bytes:
    """Return the beginning of an .npy file of uint8 (count, S, S, 3); it is equally long for every count."""
    header = io.BytesIO()
    content = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    np.lib.format.write_array_header_1_0(header, content)
    return header.getvalue()
