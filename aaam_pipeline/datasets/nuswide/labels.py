"""The lists and label files of NUS-WIDE: `actor\\0001_2124494179.jpg` a line, and 0 or 1 a line for each concept."""

import re
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.datasets.official.lines import read_lines

IMAGE = re.compile(r"[^/]+/\d+_\d+")


def image_id(listed: str) -> str | None:
    """Return `actor/0001_2124494179` for an image as lists name it, on any system, or None if it is not one."""
    path = PureWindowsPath(listed)
    name = "/".join(path.with_suffix("").parts[-2:])
    return name if path.suffix.lower() == ".jpg" and IMAGE.fullmatch(name) else None


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
    for place, path in enumerate(files):
        lines = path.read_bytes().split()
        if len(lines) != count:
            raise DatasetError(f"{path} has {len(lines):,} lines, but {images.name} has {count:,} images")
        column = np.array(lines) == b"1"
        wrong = np.flatnonzero(~column & (np.array(lines) != b"0"))
        if len(wrong):
            line = lines[wrong[0]].decode("utf8", "backslashreplace")
            raise DatasetError(f"{path}, line {wrong[0] + 1}: neither 0 nor 1: {line[:40]!r}")
        labels_NL[:, place] = column
    return labels_NL
