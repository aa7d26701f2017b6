"""The lists and label files of NUS-WIDE: `actor\\0001_2124494179.jpg` a line, and 0 or 1 a line for each concept."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.datasets.official.lines import read_lines

IMAGE = re.compile(r"(?:.*[\\/])?([^\\/.][^\\/]*)[\\/](\d+_\d+)\.jpg", re.IGNORECASE)


def image_id(listed: str) -> str | None:
    """Return `actor/0001_2124494179` for an image as lists name it, or None if it is not one."""
    found = IMAGE.fullmatch(listed)
    return f"{found[1]}/{found[2]}" if found else None


def read_images(path: Path) -> list[str]:
    """Return the ids in a list of images, in order.

    Raises:
        DatasetError: a line is not an image, or there twice.
    """
    ids = []
    for number, line in enumerate(read_lines(path, "image"), start=1):
        id = image_id(line)
        if id is None:
            raise DatasetError(f"{path}, line {number}: not an image like actor\\0001_2124494179.jpg: {line!r}")
        ids.append(id)
    return ids


def read_labels(files: list[Path], images: Path, count: int) -> NDArray[np.uint8]:
    """Return the labels (count, L) of the images of a list, as uint8 0 or 1, from the files of L concepts.

    Raises:
        DatasetError: a file has another number of lines than the list, or a line that is neither 0 nor 1.
    """
    labels_NL = np.zeros((count, len(files)), dtype=np.uint8)
    for column, path in enumerate(files):
        data = path.read_bytes()
        flags = data.translate(None, b" \t\r\n")
        if len(flags) != count or data.rstrip().count(b"\n") != count - 1 or flags.translate(None, b"01"):
            raise _wrong(path, data, images, count)
        labels_NL[:, column] = np.frombuffer(flags, dtype=np.uint8) == ord("1")
    return labels_NL


def _wrong(path: Path, data: bytes, images: Path, count: int) -> DatasetError:
    """Say what is wrong with a file of labels."""
    lines = [line.strip() for line in data.rstrip().split(b"\n")]
    for number, line in enumerate(lines, start=1):
        if line not in (b"0", b"1"):
            shown = line[:40].decode("utf8", "backslashreplace")
            return DatasetError(f"{path}, line {number}: neither 0 nor 1: {shown!r}")
    return DatasetError(f"{path} has {len(lines):,} lines, but {images.name} has {count:,} images")
