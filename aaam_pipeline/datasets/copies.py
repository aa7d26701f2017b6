"""A user's copy of a data set: where it is, and its description, which `download` writes and `prepare` reads.

copy.json     the folder, and the official files in it with their sizes
images.csv    id, path, bytes of every photograph found

No file of the copy is copied.
"""

import csv
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from aaam_pipeline.core.artifacts import absolute, read_json, write_json
from aaam_pipeline.core.csv_cells import from_cell, to_cells
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.text import counted

JPEG = (".jpg", ".jpeg")
# names of files may hold bytes that are not UTF-8
_ERRORS = "surrogateescape"


class DatasetCopy(NamedTuple):
    """A copy in `root`: its official files by their names, and its photographs by an id that the data set chooses."""

    root: Path
    files: dict[str, Path]
    images: dict[str, Path]


class _OfficialFile(msgspec.Struct):
    path: str
    bytes: int


class _CopyDescription(msgspec.Struct):
    dataset: str
    root: str
    files: dict[str, _OfficialFile]


def find_root(dataset: str, root: str | None, *marks: str) -> Path | None:
    """Return the folder of a copy: `<dataset>.data.root`, else AAAM_DATA_DIR's subfolder of that name or itself.

    It is relative where it is in the project. `marks`: files or folders, patterns allowed, one of which a folder found
    by the environment must hold; where they are absolute paths, it need not.

    Raises:
        DatasetError: `root` or AAAM_DATA_DIR is given and is no folder: it is mistyped, or its disk is not there.
    """
    if root:
        folder = Path(root).expanduser()
        if folder.is_dir():
            return _portable(folder)
        raise DatasetError(f"{dataset}.data.root: no folder {folder}")
    base = os.environ.get("AAAM_DATA_DIR")
    if not base:
        return None
    if not Path(base).is_dir():
        raise DatasetError(f"AAAM_DATA_DIR: no folder {base}")
    folders = (Path(base) / dataset, Path(base))
    return next((_portable(folder) for folder in folders for mark in marks if _holds(folder, mark)), None)


def _holds(folder: Path, mark: str) -> bool:
    return folder.is_dir() if Path(mark).is_absolute() else any(folder.glob(mark))


def _portable(folder: Path) -> Path:
    """Return a folder of the project relative to it, so that a checkout can be moved, and another one in full."""
    named = absolute(folder)
    return named.relative_to(Path.cwd()) if named.is_relative_to(Path.cwd()) else folder.resolve()


def find(dataset: str, root: Path, candidates: Sequence[str], *, folder: bool = False) -> Path:
    """Return the first of several paths below `root` where users have a file, or a folder.

    Raises:
        DatasetError: there is none.
    """
    for path in (root / candidate for candidate in candidates):
        if path.is_dir() if folder else path.is_file():
            return path
    raise DatasetError(f"{root} is no copy of {dataset} in its official layout: it has no {', nor '.join(candidates)}")


def photographs(folder: Path, suffixes: Collection[str] = JPEG) -> list[Path]:
    """Return all files below a folder that have one of the suffixes, in order of their paths; links are followed."""
    found = (Path(base, name) for base, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in found if path.suffix.lower() in suffixes)


def describe(
    dataset: str, root: Path, files: dict[str, Path], images: Iterable[tuple[str, Path]], out: Path, report: Reporter
) -> None:
    """Write the description of a copy into the folder `out`.

    Raises:
        DatasetError: there is no photograph in it.
    """
    listed = {name: _OfficialFile(str(path), path.stat().st_size) for name, path in files.items()}
    write_json(out / "copy.json", _CopyDescription(dataset, str(root), listed))
    if not (found := write_images(images, out)):
        raise DatasetError(f"{root} is no copy of {dataset} in its official layout: it has no photographs")
    report.info(f"{dataset}: {counted(found, 'photograph', ',')} found in {root}")


def by_id(images: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Return the files by the ids of their images.

    Raises:
        DatasetError: two files have the same id.
    """
    paths: dict[str, Path] = {}
    for id, path in images:
        if paths.setdefault(id, path) != path:
            raise DatasetError(f"{paths[id]} and {path} are both image {id}; keep one of them")
    return paths


def write_images(images: Iterable[tuple[str, Path]], out: Path) -> int:
    """Write images.csv into the folder `out`, and return how many images it lists.

    Raises:
        DatasetError: as `by_id`.
    """
    listed = [(id, str(path), path.stat().st_size) for id, path in by_id(images).items()]
    with (out / "images.csv").open("w", newline="", encoding="utf8", errors=_ERRORS) as stream:
        csv.writer(stream).writerows(map(to_cells, [("id", "path", "bytes"), *listed]))
    return len(listed)


def read(raw: Path) -> DatasetCopy:
    """Read the description in the folder `raw`.

    Raises:
        UsageError, IntegrityError: there is none, or it is damaged.
        DatasetError: an official file is gone or not what it was.
    """
    content = read_json(raw / "copy.json", _CopyDescription, "a downloaded data set")
    again = f"run `dvc repro -f download@{content.dataset}`"
    for file in content.files.values():
        path = Path(file.path)
        if not path.is_file():
            raise DatasetError(f"{path} is gone; if you have moved your copy, {again}")
        if path.stat().st_size != file.bytes:
            raise DatasetError(f"{path} has {path.stat().st_size} bytes, not {file.bytes} as it had; {again}")
    files = {name: Path(file.path) for name, file in content.files.items()}
    return DatasetCopy(Path(content.root), files, read_images(content.dataset, raw))


def read_images(dataset: str, raw: Path) -> dict[str, Path]:
    """Return the paths of the images by their ids, from images.csv in the folder `raw`.

    Raises:
        DatasetError: it is not there, or damaged.
    """
    path = raw / "images.csv"
    try:
        with path.open(newline="", encoding="utf8", errors=_ERRORS) as stream:
            return {from_cell(row["id"]): Path(from_cell(row["path"])) for row in csv.DictReader(stream)}
    except (OSError, KeyError, TypeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read ({error}); run `dvc repro -f download@{dataset}`") from None


def read_text(path: Path) -> str:
    """Return the content of a text file in UTF-8, without a byte order mark.

    Raises:
        DatasetError: it is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not text in UTF-8 (byte {error.start})") from None


def read_lines(path: Path, what: str) -> list[str]:
    """Return a file's lines without blanks around them; empty ones at its end do not count.

    Raises:
        DatasetError: it is not text, is empty, or a line is empty or there twice; `what` a line is ("image").
    """
    lines = [line.strip() for line in read_text(path).rstrip().splitlines()]
    if not lines:
        raise DatasetError(f"{path} is empty")
    first: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            raise DatasetError(f"{path}, line {number}: it is empty")
        if line in first:
            raise DatasetError(f"{path}, line {number}: the {what} {line!r} is in line {first[line]} already")
        first[line] = number
    return lines
