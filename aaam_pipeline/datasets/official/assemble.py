"""What the data sets with an official split of training and test images share: settings, counts, assembling."""

from collections.abc import Callable, Iterable
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
    missing: list[str] = []
    train, test = (_found(images, locate, missing) for images in (lists.train, lists.test))
    _refuse_twins(dataset, [*lists.train, *lists.test])
    note = _difference(Counts(len(train), len(test), len(lists.labels)), expected, missing)
    if note and not params.allow_partial:
        raise DatasetError(
            f"{dataset}: {note}; complete the copy in {root}, "
            f"or set {dataset}.data.allow_partial: true to use what is there"
        )
    kept, val = hold_out(dataset, train, params.val, params.seed)
    splits = {"train": kept, "val": val, "test": test}
    return Listing(lists.labels, splits, tuple(missing), f"{dataset}: {note}; what is there is used" if note else "")


def _found(images: Iterable[LabelledImage], locate: Callable[[str], Path | None], missing: list[str]) -> list[Example]:
    """Return the images that are there, and add the ids of the others to `missing`."""
    examples = []
    for image_id, labels in images:
        path = locate(image_id)
        if path is None:
            missing.append(image_id)
        else:
            examples.append(Example(image_id, path, labels))
    return examples


def _refuse_twins(dataset: str, images: Iterable[LabelledImage]) -> None:
    seen: set[str] = set()
    for image_id, _ in images:
        if image_id in seen:
            raise DatasetError(f"{dataset}: image {image_id} is in training and in test")
        seen.add(image_id)


def _difference(found: Counts, expected: Counts, missing: list[str]) -> str:
    """Say in what a copy differs from the data set; empty if in nothing."""
    parts = [
        f"{ours:,} {name} instead of {theirs:,}"
        for name, ours, theirs in zip(("training images", "test images", "labels"), found, expected, strict=True)
        if ours != theirs
    ]
    if missing:
        parts.append(f"{len(missing):,} listed images are missing, the first: {', '.join(missing[:3])}")
    return ", ".join(parts)
