"""What every data set becomes: a vocabulary, and for each split a list of images with their labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.formats.vocabulary import fault_of_labels

SPLITS = ("train", "val", "test")


class Example(NamedTuple):
    """One image: `image_id` is unique in the data set, `path` can be opened, `labels` are of the vocabulary."""

    image_id: str
    path: Path
    labels: tuple[str, ...]


class Listing(NamedTuple):
    """A data set: its labels in order, and `splits["train" | "val" | "test"]`.

    `missing`: images that the data set names and this copy lacks; they are in no split. `note`: what a person should
    know of this copy, a line.
    """

    labels: tuple[str, ...]
    splits: dict[str, list[Example]]
    missing: tuple[str, ...] = ()
    note: str = ""


def check_listing(name: str, listing: Listing) -> None:
    """Check what the data set `name` says of itself, before any work is done for it.

    Raises:
        DatasetError: its labels are no vocabulary, a split is not there, or an image has a label that is none.
    """
    if fault := fault_of_labels(listing.labels):
        raise DatasetError(f"{name}: {fault}; correct the labels of the data set, and run its stage download again")
    known = set(listing.labels)
    for split in SPLITS:
        if split not in listing.splits:
            raise DatasetError(f"{name}: it has no split {split}; a data set needs {', '.join(SPLITS)}")
        for example in listing.splits[split]:
            if not known.issuperset(example.labels):
                label = next(label for label in example.labels if label not in known)
                raise DatasetError(f"{name}: image {example.image_id} has {label!r}, which is none of its labels")


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
