"""`folder`: pictures of your own below one folder, and a table: `path,label,label,...`, one picture a line.

Paths are relative to the folder; a first line that begins with `path` is a heading. No picture is copied. A name may be
written in another Unicode form than the disk has.
"""

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

from msgspec import Meta

from aaam_pipeline.core.disk_names import DiskNames
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.logging import CONTROLS
from aaam_pipeline.core.params import Struct
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets import copies
from aaam_pipeline.datasets.listing import Example, Listing, hold_out, taken_once

NAME = "folder"


class FolderParams(Struct, frozen=True):
    """`folder.data` of params.yaml. `table`: a path below `root`; `val`, `test`: shares of the pictures, by `seed`."""

    root: str | None = None
    table: str = "labels.csv"
    val: Annotated[float, Meta(gt=0, lt=0.5)] = 0.1
    test: Annotated[float, Meta(gt=0, lt=0.5)] = 0.2
    seed: int = 7


Params = FolderParams


def download(params: FolderParams, out: Path, report: Reporter) -> None:
    """Describe the folder and the pictures of its table.

    Raises:
        DatasetError: there is no folder or table, a line is wrong, or a picture is not there.
    """
    root = copies.find_root(NAME, params.root, params.table)
    if root is None:
        raise DatasetError(f"{NAME}: set folder.data.root to the folder of your pictures, which holds {params.table}")
    if not (root / params.table).is_file():
        raise DatasetError(f"{NAME}: {root} holds no {params.table}; folder.data.table names another one")
    disk = DiskNames()
    images = {image: Path(disk.find(str(root / image))) for image in _read_table(root / params.table)[0]}
    missing = [image for image, path in images.items() if not path.is_file()]
    if missing or not images:
        fault = f"{len(missing)} files are not in {root}, the first: {missing[0]}" if missing else "it lists no picture"
        raise DatasetError(f"{root / params.table}: {fault}")
    if again := set(images) - set({path: image for image, path in images.items()}.values()):
        raise DatasetError(f"{root / params.table}: {min(again)} is listed twice, in two Unicode forms")
    shutil.copyfile(root / params.table, out / "labels.csv")
    copies.describe(NAME, root, {}, images.items(), out, report)


def read(raw: Path, params: FolderParams) -> Listing:
    """Read the table, and hold out the pictures that validate and those that test.

    Raises:
        DatasetError: there are too few.
    """
    (labels, note), paths = _read_table(raw / "labels.csv"), copies.read(raw).images
    examples = [Example(image, paths[image], labels[image]) for image in labels]
    val, test = (max(1, round(share * len(examples))) for share in (params.val, params.test))
    train, held_out = hold_out(NAME, examples, val + test, params.seed)
    splits = dict(zip(("test", "val"), hold_out(NAME, held_out, val, params.seed), strict=True))
    vocabulary = tuple(sorted({label for each in examples for label in each.labels}))
    return Listing(vocabulary, {"train": train} | splits, note=note and f"{NAME}: {note}")


def _read_table(path: Path) -> tuple[dict[str, tuple[str, ...]], str]:
    """Return image -> labels, in the order of the lines, and a note on images that are listed twice."""
    listed: list[tuple[int, str, list[str]]] = []
    with path.open(newline="", encoding="utf-8-sig") as stream:
        lines = csv.reader(stream, strict=True)
        try:
            for image, *words in (map(str.strip, cells) for cells in lines if any(map(str.strip, cells))):
                if fault := _fault(image, words):
                    raise DatasetError(f"{path}, line {lines.line_num}: {fault}")
                if lines.line_num > 1 or image.lower() != "path":
                    listed.append((lines.line_num, PurePosixPath(image).as_posix(), list(filter(None, words))))
        except UnicodeDecodeError as error:
            raise DatasetError(f"{path} is not text in UTF-8: {error}; save it as CSV UTF-8") from None
        except csv.Error as error:
            raise DatasetError(f"{path}, after line {lines.line_num}: no CSV: {error}") from None
    return taken_once(path, listed)


def _fault(image: str, words: Sequence[str]) -> str:
    """Return what is wrong with a line of the table, "" if nothing is."""
    if not image:
        return "it has no path"
    if not words and ";" in image:
        return "separate cells by commas, not by semicolons"
    control = next((cell for cell in (image, *words) if CONTROLS.search(cell)), None)
    if control is not None:
        return f"a cell holds a control character: {control!r}"
    named = PurePosixPath(image)
    return f"{image} is no path inside the folder" if named.is_absolute() or ".." in named.parts else ""
