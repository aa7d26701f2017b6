"""COCO 2014 as published (Lin et al. 2014): photographs of everyday scenes with 80 categories of things.

    annotations/instances_train2014.json    train2014/COCO_train2014_000000000009.jpg
    annotations/instances_val2014.json      val2014/COCO_val2014_000000000042.jpg

Training: the images of train2014 with at least one category, 82,081 of 82,783. Test: all 40,504 of val2014, also those
without a category.
"""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.coco2014 import instances
from aaam_pipeline.datasets.fetching.archives import COCO2014
from aaam_pipeline.datasets.fetching.obtain import obtain
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.datasets.official import copies
from aaam_pipeline.datasets.official.assemble import Counts, OfficialLists, OfficialParams, assemble
from aaam_pipeline.datasets.roots import find_root

NAME = "coco2014"
EXPECTED = Counts(train=82_081, test=40_504, labels=80)
PARTS = ("train2014", "val2014")


class Coco2014Params(OfficialParams, frozen=True):
    """`coco2014.data` of params.yaml."""

    val: Annotated[int, Meta(ge=1)] = 4000


Params = Coco2014Params


def download(params: Coco2014Params, out: Path, report: Reporter) -> None:
    """Describe the user's copy, or download one.

    Raises:
        DatasetError: the copy lacks a file, or the download fails.
    """
    names = [f"annotations/instances_{part}.json" for part in PARTS]
    root = find_root(NAME, params.root, *names) or obtain(NAME, COCO2014, params.mirror, report)
    files = {name: copies.find(NAME, root, [name]) for name in names}
    folders = [copies.find(NAME, root, [part, f"images/{part}"], folder=True) for part in PARTS]
    images = ((path.stem, path) for folder in folders for path in copies.photographs(folder))
    copies.describe(NAME, root, files, images, out, report)


def read(raw: Path, params: Coco2014Params) -> Listing:
    """Read the annotations and find the photographs.

    Raises:
        DatasetError: a file is damaged, or the copy is incomplete.
    """
    copy = copies.read(raw)
    train, test = (instances.read(path) for path in copy.files.values())
    if train.labels != test.labels:
        one, other = copy.files.values()
        raise DatasetError(f"{other}, categories: they are not those of {one.name}")
    labelled = [image for image in train.images if image[1]]
    return assemble(
        NAME, OfficialLists(train.labels, labelled, test.images), copy.images.get, EXPECTED, params, copy.root
    )
