"""IAPR TC-12 (Grubinger et al. 2006) with the split and the 291 words of Guillaumin et al. 2009 (TagProp).

    images/00/25.jpg
    iaprtc12_dictionary.txt                  one word a line
    iaprtc12_{train,test}_list.txt           one image a line, `00/25`
    iaprtc12_{train,test}_annot.hvecs        one row an image, one number a word: 0, or it is there

Training: 17,665 images. Test: 1,962.
"""

import re
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets import copies
from aaam_pipeline.datasets.fetching.archives import IAPRTC12
from aaam_pipeline.datasets.fetching.obtain import obtain
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.datasets.official import Counts, LabelledImage, OfficialLists, OfficialParams, assemble

NAME = "iaprtc12"
EXPECTED = Counts(train=17_665, test=1_962, labels=291)
FILES = (
    "iaprtc12_dictionary.txt",
    *(f"iaprtc12_{part}_{kind}" for part in ("train", "test") for kind in ("list.txt", "annot.hvecs")),
)
# where people unpack the annotations, and the photographs
FOLDERS = ("", "annotations/", "annotation/", "iaprtc12.20091111/", "iaprtc12/")
IMAGE_FOLDERS = ("images", "iaprtc12/images")


class IaprTc12Params(OfficialParams, frozen=True):
    """`iaprtc12.data` of params.yaml."""

    val: Annotated[int, Meta(ge=1)] = 1000


Params = IaprTc12Params


def download(params: IaprTc12Params, out: Path, report: Reporter) -> None:
    """Describe the user's copy, or download one.

    Raises:
        DatasetError: the copy lacks a file, or the download fails.
    """
    root = copies.find_root(NAME, params.root, *(folder + FILES[0] for folder in FOLDERS))
    root = root or obtain(NAME, IAPRTC12, params.mirror, report)
    files = {name: copies.find(NAME, root, [folder + name for folder in FOLDERS]) for name in FILES}
    folder = copies.find(NAME, root, IMAGE_FOLDERS, folder=True)
    images = ((f"{path.parent.name}/{path.stem}", path) for path in copies.photographs(folder))
    copies.describe(NAME, root, files, images, out, report)


def read(raw: Path, params: IaprTc12Params) -> Listing:
    """Read the lists and find the photographs.

    Raises:
        DatasetError: a file is damaged or does not fit another, or the copy is incomplete.
    """
    copy = copies.read(raw)
    words = tuple(copies.read_lines(copy.files[FILES[0]], "word"))
    train, test = (
        _read_part(copy.files[f"{NAME}_{part}_list.txt"], copy.files[f"{NAME}_{part}_annot.hvecs"], words)
        for part in ("train", "test")
    )
    return assemble(NAME, OfficialLists(words, train, test), copy.images.get, EXPECTED, params, copy.root)


def _read_part(listed: Path, annotations: Path, words: tuple[str, ...]) -> list[LabelledImage]:
    images = copies.read_lines(listed, "image")
    for number, image in enumerate(images, start=1):
        if not re.fullmatch(r"\d+/\d+", image):
            raise DatasetError(f"{listed}, line {number}: not an image like 00/25: {image!r}")
    values_NL = read_hvecs(annotations, len(images), len(words))
    return [
        (image, tuple(words[index] for index in np.flatnonzero(row)))
        for image, row in zip(images, values_NL, strict=True)
    ]


def read_hvecs(path: Path, rows: int, columns: int) -> NDArray[np.uint16]:
    """Return the values (rows, columns) of a file of INRIA's LEAR group: rows of numbers, each led by their count.

    All numbers are unsigned, 16 bits, little-endian, header and values alike: so their own `vec_read.m` reads `.hvecs`
    (`hvecs32` is the same with 32 bits).

    Raises:
        DatasetError: it does not hold so many rows of so many values; the line says where.
    """
    data = path.read_bytes()
    stride = 2 * (1 + columns)
    if len(data) % 2:
        raise DatasetError(f"{path} is damaged: it ends in the middle of a number, after {len(data):,} bytes")
    values = np.frombuffer(data, dtype="<u2")
    whole = values[: len(data) // stride * (1 + columns)].reshape(-1, 1 + columns)
    wrong = np.flatnonzero(whole[:, 0] != columns)
    if len(wrong):
        row = int(wrong[0])
        raise DatasetError(
            f"{path}, row {row + 1}: it is led by {whole[row, 0]}, not by {columns}, the number of words"
        )
    if len(data) % stride:
        raise DatasetError(f"{path} is damaged: it ends in row {len(whole) + 1}, after {len(data):,} bytes")
    if len(whole) != rows:
        raise DatasetError(f"{path} has {len(whole):,} rows, but the list of images has {rows:,} lines")
    return np.ascontiguousarray(whole[:, 1:])
