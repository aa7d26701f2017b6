"""What every data set becomes: a vocabulary, and for each split a list of images with their labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.seeding import derive

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
        [example for place, example in enumerate(examples) if place not in held_out],
        [example for place, example in enumerate(examples) if place in held_out],
    )
