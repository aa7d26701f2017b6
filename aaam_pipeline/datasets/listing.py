"""What every data set becomes: a vocabulary, and for each split a list of images with their labels."""

from pathlib import Path
from typing import NamedTuple

SPLITS = ("train", "val", "test")


class Example(NamedTuple):
    """One image: `image_id` is unique in the data set, `path` can be opened, `labels` are of the vocabulary."""

    image_id: str
    path: Path
    labels: tuple[str, ...]


class Listing(NamedTuple):
    """A data set: its labels in order, and `splits["train" | "val" | "test"]`."""

    labels: tuple[str, ...]
    splits: dict[str, list[Example]]
