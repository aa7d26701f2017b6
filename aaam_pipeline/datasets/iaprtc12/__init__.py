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

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.fetching.archives import IAPRTC12
from aaam_pipeline.datasets.fetching.obtain import obtain
from aaam_pipeline.datasets.iaprtc12 import hvecs
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.datasets.official import copies
from aaam_pipeline.datasets.official.assemble import Counts, LabelledImage, OfficialLists, OfficialParams, assemble
from aaam_pipeline.datasets.official.lines import read_lines
from aaam_pipeline.datasets.roots import find_root

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
    root = find_root(NAME, params.root, *(folder + FILES[0] for folder in FOLDERS))
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
    words = tuple(read_lines(copy.files[FILES[0]], "word"))
    train, test = (
        _read_part(copy.files[f"{NAME}_{part}_list.txt"], copy.files[f"{NAME}_{part}_annot.hvecs"], words)
        for part in ("train", "test")
    )
    return assemble(NAME, OfficialLists(words, train, test), copy.images.get, EXPECTED, params, copy.root)


def _read_part(listed: Path, annotations: Path, words: tuple[str, ...]) -> list[LabelledImage]:
    images = read_lines(listed, "image")
    for number, image in enumerate(images, start=1):
        if not re.fullmatch(r"\d+/\d+", image):
            raise DatasetError(f"{listed}, line {number}: not an image like 00/25: {image!r}")
    values_NL = hvecs.read(annotations, len(images), len(words))
    return [
        (image, tuple(words[index] for index in np.flatnonzero(row)))
        for image, row in zip(images, values_NL, strict=True)
    ]
