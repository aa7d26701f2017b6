"""`instances_*.json` of COCO: which of the 80 categories are in which image. Only the fields needed are decoded."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.datasets.official.assemble import LabelledImage


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


class Instances(NamedTuple):
    """The categories' names in order of their ids; each image (the stem of its file name) with those that are in it."""

    labels: tuple[str, ...]
    images: list[LabelledImage]


def read(path: Path) -> Instances:
    """Read a file of annotations; annotations of crowds count like all others.

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
    return Instances(labels, images)


def _decode(path: Path) -> _InstancesFile:
    data = path.read_bytes()
    try:
        return msgspec.json.decode(data, type=_InstancesFile)
    except msgspec.ValidationError as error:
        raise DatasetError(f"{path} is no file of COCO instances: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is damaged: {error}; it ends after {len(data):,} bytes") from None
