"""The description of a data set's files that lie elsewhere: written by `download`, read by `prepare`. Copies nothing.

copy.json     the folder, and the official files in it with their sizes
images.csv    id, path, bytes of every photograph found
"""

import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from aaam_pipeline.core.artifacts import read_json, write_json
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import Reporter

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


def find(dataset: str, root: Path, candidates: Iterable[str], *, folder: bool = False) -> Path:
    """Return the first of several paths below `root` where users have a file, or a folder.

    Raises:
        DatasetError: there is none.
    """
    candidates = list(candidates)
    for candidate in candidates:
        path = root / candidate
        if path.is_dir() if folder else path.is_file():
            return path
    raise DatasetError(
        f"{root} is no copy of {dataset} in its official layout: it has no {candidates[0]}"
        + "".join(f", nor {candidate}" for candidate in candidates[1:])
    )


def photographs(folder: Path) -> Iterator[Path]:
    """Yield all JPEG files below a folder, in order of their paths; links to folders are followed."""
    found = (Path(base, name) for base, _, names in os.walk(folder, followlinks=True) for name in names)
    yield from sorted(path for path in found if path.suffix.lower() in (".jpg", ".jpeg"))


def describe(
    dataset: str, root: Path, files: dict[str, Path], images: Iterable[tuple[str, Path]], out: Path, report: Reporter
) -> None:
    """Write the description of a copy into the folder `out`.

    Raises:
        DatasetError: there is no photograph in it.
    """
    listed = {name: _OfficialFile(str(path), path.stat().st_size) for name, path in files.items()}
    write_json(out / "copy.json", _CopyDescription(dataset, str(root), listed))
    found = 0
    with (out / "images.csv").open("w", newline="", encoding="utf8", errors=_ERRORS) as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "path", "bytes"])
        for id, path in images:
            rows.writerow([id, path, path.stat().st_size])
            found += 1
    if not found:
        raise DatasetError(f"{root} is no copy of {dataset} in its official layout: it has no photographs")
    report.info(f"{dataset}: {found:,} photographs found in {root}")


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
    try:
        with (raw / "images.csv").open(newline="", encoding="utf8", errors=_ERRORS) as stream:
            images = {row["id"]: Path(row["path"]) for row in csv.DictReader(stream)}
    except (OSError, KeyError, TypeError, csv.Error) as error:
        raise DatasetError(f"{raw / 'images.csv'} cannot be read ({error}); {again}") from None
    return DatasetCopy(Path(content.root), {name: Path(file.path) for name, file in content.files.items()}, images)
