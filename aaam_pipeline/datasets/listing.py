"""What every data set becomes: a vocabulary, and for each split a list of images with their labels."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.formats.vocabulary import fault_of_labels

SPLITS = ("train", "val", "test")


class Example(NamedTuple):
    """One image: `image_id` is unique in the data set, `path` can be opened, `labels` are of the vocabulary.

    `absent`: the labels that it is known not to have; whether it has any other is unknown. None: it has no other.
    """

    image_id: str
    path: Path
    labels: tuple[str, ...]
    absent: tuple[str, ...] | None = None


class Listing(NamedTuple):
    """A data set: its labels in order, and `splits["train" | "val" | "test"]`.

    `missing`: images that the data set names and this copy lacks; they are in no split. `note`: what a person should
    know of this copy, a line.
    """

    labels: tuple[str, ...]
    splits: dict[str, list[Example]]
    missing: tuple[str, ...] = ()
    note: str = ""


def checked_listing(name: str, listing: Listing) -> Listing:
    """Return what the data set `name` says of itself, each label of an image once, before any work is done for it.

    Raises:
        DatasetError: its labels are no vocabulary, a split is not there or empty, an image is listed twice, has a label
            that is none, or has one and has it not.
    """
    if fault := fault_of_labels(listing.labels):
        raise DatasetError(f"{name}: {fault}; correct the labels of the data set, and run its stage download again")
    known = set(listing.labels)
    seen: dict[str, str] = {}
    for split in SPLITS:
        if not listing.splits.get(split):
            fault = "no image in its" if split in listing.splits else "no"
            raise DatasetError(f"{name}: it has {fault} split {split}; a data set needs {', '.join(SPLITS)}")
        for example in listing.splits[split]:
            if fault := _fault(example, known):
                raise DatasetError(f"{name}: image {example.image_id} {fault}")
            if first := seen.get(example.image_id):
                where = f"twice in {split}" if first == split else f"in {first} and in {split}"
                raise DatasetError(f"{name}: image {example.image_id} is {where}")
            seen[example.image_id] = split
    splits = {split: [_each_once(example) for example in examples] for split, examples in listing.splits.items()}
    return listing._replace(splits=splits)


def _fault(example: Example, known: set[str]) -> str:
    """Return what is wrong with the labels of an image, "" if nothing is."""
    said = (*example.labels, *(example.absent or ()))
    if not known.issuperset(said):
        return f"has {next(label for label in said if label not in known)!r}, which is none of its labels"
    both = set(example.labels).intersection(example.absent or ())
    return f"is said to have {min(both)!r}, and not to have it" if both else ""


def _each_once(example: Example) -> Example:
    labels, absent = tuple(dict.fromkeys(example.labels)), example.absent
    return example._replace(labels=labels, absent=absent if absent is None else tuple(dict.fromkeys(absent)))


def taken_once(path: Path, lines: Iterable[tuple[int, str, Sequence[str]]]) -> tuple[dict[str, tuple[str, ...]], str]:
    """Return image -> labels of the (number, image, labels) in the file `path`, and a note on images listed twice.

    The note is "" where every image is listed once.

    Raises:
        DatasetError: an image is listed twice, with different labels.
    """
    images: dict[str, tuple[str, ...]] = {}
    repeated: list[str] = []
    for number, image, labels in lines:
        if image not in images:
            images[image] = tuple(dict.fromkeys(labels))
        elif set(images[image]) != set(labels):
            raise DatasetError(f"{path}, line {number}: image {image} is listed twice, with different labels")
        else:
            repeated.append(image)
    count = "1 image is" if len(repeated) == 1 else f"{len(repeated)} images are"
    note = f"{path.name}: {count} listed again with the same labels, and taken once: {', '.join(repeated[:3])}"
    return images, note if repeated else ""


def hold_out(dataset: str, examples: Sequence[Example], val: int, seed: int) -> tuple[list[Example], list[Example]]:
    """Divide training examples into those that train and `val` that validate; the seed alone chooses, order is kept.

    Raises:
        DatasetError: nothing would be left to train on.
    """
    if val >= len(examples):
        raise DatasetError(f"{dataset}.data.val: {val} of {len(examples)} training images leaves none to train on")
    order = np.random.default_rng(derive(seed, dataset, "val")).permutation(len(examples))
    held_out = set(order[:val].tolist())
    return (
        [example for index, example in enumerate(examples) if index not in held_out],
        [example for index, example in enumerate(examples) if index in held_out],
    )
