"""What the data sets with an official split of training and test images share: settings, counts, assembling."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from msgspec import Meta

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.params import Struct
from aaam_pipeline.datasets.listing import Example, Listing, hold_out

LabelledImage = tuple[str, tuple[str, ...]]
"""An image's id, and its labels."""


class OfficialParams(Struct, frozen=True):
    """`data` of params.yaml. `root`: the folder of your copy; without one the data set is downloaded.

    `mirror`: an address below which the publishers' files lie, to be used instead of theirs. `allow_partial`: use
    what is there when a copy is incomplete. `val`: training images held out for validation, chosen by `seed`.
    """

    root: str | None = None
    mirror: str | None = None
    allow_partial: bool = False
    val: Annotated[int, Meta(ge=1)] = 1000
    seed: int = 7


class Counts(NamedTuple):
    """How large a data set is: training images with those held out for validation, test images, labels."""

    train: int
    test: int
    labels: int


class OfficialLists(NamedTuple):
    """A data set as its lists say it, whichever photographs are there."""

    labels: tuple[str, ...]
    train: list[LabelledImage]
    test: list[LabelledImage]


def assemble(
    dataset: str,
    lists: OfficialLists,
    locate: Callable[[str], Path | None],
    expected: Counts,
    params: OfficialParams,
    root: Path,
) -> Listing:
    """Look up every photograph, check the counts, and hold out validation images.

    Raises:
        DatasetError: an image is listed twice; or the copy is not of the `expected` size and may not be partial.
    """
    listed = [*lists.train, *lists.test]
    paths = {image_id: locate(image_id) for image_id, _ in listed}
    if len(paths) < len(listed):
        twin = next(id for id, count in Counter(id for id, _ in listed).items() if count > 1)
        raise DatasetError(f"{dataset}: image {twin} is in training and in test")
    missing = tuple(image_id for image_id, path in paths.items() if path is None)
    train, test = (
        [Example(image_id, path, labels) for image_id, labels in images if (path := paths[image_id])]
        for images in (lists.train, lists.test)
    )
    note = _difference(Counts(len(train), len(test), len(lists.labels)), expected, missing)
    if note and not params.allow_partial:
        raise DatasetError(
            f"{dataset}: {note}; complete the copy in {root}, "
            f"or set {dataset}.data.allow_partial: true to use what is there"
        )
    kept, val = hold_out(dataset, train, params.val, params.seed)
    splits = {"train": kept, "val": val, "test": test}
    return Listing(lists.labels, splits, missing, f"{dataset}: {note}; what is there is used" if note else "")


def _difference(found: Counts, expected: Counts, missing: Sequence[str]) -> str:
    """Say in what a copy differs from the data set; empty if in nothing."""
    parts = [
        f"{ours:,} {name} instead of {theirs:,}"
        for name, ours, theirs in zip(("training images", "test images", "labels"), found, expected, strict=True)
        if ours != theirs
    ]
    if missing:
        parts.append(f"{len(missing):,} listed images are missing, the first: {', '.join(missing[:3])}")
    return ", ".join(parts)
