"""COCO 2014 as published (Lin et al. 2014): photographs of everyday scenes with 80 categories of things.

    annotations/instances_train2014.json    train2014/COCO_train2014_000000000009.jpg
    annotations/instances_val2014.json      val2014/COCO_val2014_000000000042.jpg

Training: the images of train2014 with at least one category, 82,081 of 82,783. Test: all 40,504 of val2014, also those
without a category.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets import copies
from aaam_pipeline.datasets.fetching.archives import COCO2014
from aaam_pipeline.datasets.fetching.obtain import obtain
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.datasets.official import Counts, LabelledImage, OfficialLists, OfficialParams, assemble

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
    root = copies.find_root(NAME, params.root, *names) or obtain(NAME, COCO2014, params.mirror, report)
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
    (labels, train), (test_labels, test) = (read_instances(path) for path in copy.files.values())
    if labels != test_labels:
        one, other = copy.files.values()
        raise DatasetError(f"{other}, categories: they are not those of {one.name}")
    lists = OfficialLists(labels, [image for image in train if image[1]], test)
    return assemble(NAME, lists, copy.images.get, EXPECTED, params, copy.root)


# of COCO's files only the fields that are needed are decoded
class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str


class _Annotation(msgspec.Struct, gc=False):
    image_id: int
    category_id: int


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str


class _InstancesFile(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_instances(path: Path) -> tuple[tuple[str, ...], list[LabelledImage]]:
    """Read `instances_*.json`: the categories' names in order of their ids; each image with those that are in it.

    An image's id is the stem of its file name. Annotations of crowds count like all others.

    Raises:
        DatasetError: it is damaged, or its parts do not fit together; the line says where.
    """
    content = _decode(path)
    categories = sorted(content.categories, key=lambda category: category.id)
    order = {category.id: index for index, category in enumerate(categories)}
    labels = tuple(category.name for category in categories)
    if len(order) != len(categories) or len(set(labels)) != len(labels):
        raise DatasetError(f"{path}, categories: an id or a name is listed twice")
    present: dict[int, set[int]] = {}
    for number, image in enumerate(content.images):
        if image.id in present:
            raise DatasetError(f"{path}, images[{number}]: image id {image.id} is listed twice")
        present[image.id] = set()
    for number, annotation in enumerate(content.annotations):
        if annotation.image_id not in present:
            raise DatasetError(f"{path}, annotations[{number}]: image id {annotation.image_id} is not among its images")
        if annotation.category_id not in order:
            raise DatasetError(
                f"{path}, annotations[{number}]: category id {annotation.category_id} is not among its categories"
            )
        present[annotation.image_id].add(order[annotation.category_id])
    images = [
        (Path(image.file_name).stem, tuple(labels[index] for index in sorted(present[image.id])))
        for image in content.images
    ]
    names = [name for name, _ in images]
    if len(set(names)) != len(names):
        twin = next(name for index, name in enumerate(names) if name in names[:index])
        raise DatasetError(f"{path}, images: the file name of {twin} is listed twice")
    return labels, images


def _decode(path: Path) -> _InstancesFile:
    data = path.read_bytes()
    try:
        return msgspec.json.decode(data, type=_InstancesFile)
    except msgspec.ValidationError as error:
        raise DatasetError(f"{path} is no file of COCO instances: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is damaged: {error}; it ends after {len(data):,} bytes") from None
