"""Corel-5k in its usual layout: 5,000 stock photographs, 1 to 5 of 374 words each (Duygulu et al. 2002).

    images/<folder>/<id>.jpeg      labels/words            one word a line, the first is number 1
    (or .jpg, .png)                labels/training_label   `id word word ...`, likewise test_label

It is never fetched: the photographs may not be redistributed. Kept are the words that occur both in training and in
test (260 with the official files). Validation images are held out of the training list.
"""

import re
import shutil
from collections.abc import Collection
from itertools import chain
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.params import Struct
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.text import counted
from aaam_pipeline.datasets import copies
from aaam_pipeline.datasets.listing import Example, Listing, hold_out, taken_once

FILES = ("words", "training_label", "test_label")
SUFFIXES = (*copies.JPEG, ".png")


class Corel5kParams(Struct, frozen=True):
    """`corel5k.data` of params.yaml: where the data set lies, and how many training images validate."""

    root: str | None = None
    val: Annotated[int, Meta(ge=1)] = 400
    seed: int = 7


Params = Corel5kParams


def download(params: Corel5kParams, out: Path, report: Reporter) -> None:
    """Describe the user's copy: its label files, and a list of its images. Copies no photograph.

    Raises:
        DatasetError: the copy is not found, or lacks a file.
    """
    root = root_of(params)
    (out / "labels").mkdir()
    for name in FILES:
        if not (root / "labels" / name).is_file():
            raise DatasetError(f"{root} is not Corel-5k in its usual layout: no labels/{name}")
        shutil.copyfile(root / "labels" / name, out / "labels" / name)
    images = ((path.stem, path) for path in copies.photographs(root / "images", SUFFIXES))
    found = copies.write_images(images, out)
    if not found:
        raise DatasetError(f"{root} is not Corel-5k in its usual layout: no images/<folder>/<id>.jpeg")
    report.info(f"corel5k: {counted(found, 'image')} found in {root}")


def root_of(params: Corel5kParams) -> Path:
    """Return the folder of the user's copy: `corel5k.data.root`, else AAAM_DATA_DIR or its subfolder corel5k.

    Raises:
        DatasetError: neither leads to a folder.
    """
    if root := copies.find_root("corel5k", params.root, "labels"):
        return root
    raise DatasetError(
        "Corel-5k is never downloaded: set corel5k.data.root or AAAM_DATA_DIR to the folder of your copy"
    )


def read(raw: Path, params: Corel5kParams) -> Listing:
    """Read the label files and the list of images.

    Raises:
        DatasetError: a line is damaged, or images that the labels name are missing.
    """
    words = copies.read_lines(raw / "labels" / "words", "word")
    paths = copies.read_images("corel5k", raw)
    (training, training_note), (test, test_note) = (
        _read_labels(raw / "labels" / name, words, paths) for name in FILES[1:]
    )
    missing = [image for image in (*training, *test) if image not in paths]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        count = f"{counted(len(missing), 'image')} {verb}"
        raise DatasetError(f"Corel-5k: {count} missing, the first is {missing[0]}; check your copy")
    kept = set(chain.from_iterable(training.values())) & set(chain.from_iterable(test.values()))
    if not kept:
        raise DatasetError(f"Corel-5k: no word occurs in both {' and '.join(FILES[1:])}; check your copy")

    def examples(labels: dict[str, tuple[str, ...]]) -> list[Example]:
        return [Example(image, paths[image], tuple(w for w in of if w in kept)) for image, of in labels.items()]

    train, val = hold_out("corel5k", examples(training), params.val, params.seed)
    splits = {"train": train, "val": val, "test": examples(test)}
    note = ", ".join(filter(None, (training_note, test_note)))
    return Listing(tuple(word for word in words if word in kept), splits, note=note and f"corel5k: {note}")


def _read_labels(path: Path, words: list[str], images: Collection[str]) -> tuple[dict[str, tuple[str, ...]], str]:
    """Return image -> words, and a note on images that are listed twice."""
    listed: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(copies.read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        image, numbers = _split(line.strip(), images)
        if not all(each.isascii() and each.isdigit() and 1 <= int(each) <= len(words) for each in numbers):
            raise DatasetError(f"{path}, line {number}: word numbers must be 1 to {len(words)}: {line.strip()!r}")
        listed.append((number, image, [words[int(each) - 1] for each in numbers]))
    return taken_once(path, listed)


def _split(line: str, images: Collection[str]) -> tuple[str, list[str]]:
    """Divide a line into image and numbers. An image's name may hold blanks: the longest that is there counts."""
    for end in reversed([match.start() for match in re.finditer(r"\s+|$", line)]):
        if line[:end] in images:
            return line[:end], line[end:].split()
    image, *numbers = line.split()
    return image, numbers
