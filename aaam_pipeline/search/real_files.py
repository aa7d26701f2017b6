"""What the files of hits are at this moment: as they were annotated, or gone, changed, links, one file twice.

No file is read: one whose size and time are those of its row is taken for the one that was annotated.
"""

import os
import stat
from collections.abc import Sequence
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from aaam_pipeline.core.text import folded
from aaam_pipeline.search.hits import Hit


class FileState(Enum):
    """What is known of an image's file; elsewhere is behind a URL or inside an archive."""

    UNCHANGED = "unchanged"
    LINK = "link"
    ELSEWHERE = "elsewhere"
    GONE = "gone"


class RealFile(NamedTuple):
    """A hit's file: unchanged and readable; the same, reached by a link below its root; elsewhere; gone or changed.

    `path`: where it lies, links followed. Two names of one file have one of `keys` in common.
    """

    state: FileState
    path: str
    keys: frozenset[tuple[object, ...]]


def look_at(hit: Hit, size: int | None, mtime: int | None) -> RealFile:
    """Return what a hit's file is now; `size` and `mtime` (microseconds since 1970) are those of its row."""
    if hit.is_remote:
        return _unknown(FileState.ELSEWHERE, hit.location)
    file = hit.file
    try:
        status = file.stat()
    except (OSError, ValueError):
        return _unknown(FileState.ELSEWHERE if _in_archive(file) else FileState.GONE, hit.location)
    same = stat.S_ISREG(status.st_mode) and status.st_size == size and status.st_mtime_ns // 1000 == mtime
    if not same or not os.access(file, os.R_OK):
        return _unknown(FileState.GONE, hit.location)
    real = os.path.realpath(file)
    root = file.parents[len(PurePosixPath(hit.path).parts) - 1]
    direct = Path(os.path.realpath(root)) / file.relative_to(root)
    state = FileState.UNCHANGED if os.path.normcase(real) == os.path.normcase(direct) else FileState.LINK
    keys: set[tuple[object, ...]] = {(real,)}
    if status.st_ino:
        # a disk that is mounted twice has two numbers, but a file on it was last changed at one time
        keys |= {(status.st_dev, status.st_ino), (status.st_ino, status.st_size, status.st_ctime_ns)}
    return RealFile(state, real, frozenset(keys))


def first_names(files: Sequence[RealFile]) -> list[int]:
    """Return which of several files are no other name of one before."""
    seen: set[tuple[object, ...]] = set()
    spelled: dict[str, str] = {}
    first = []
    for number, file in enumerate(files):
        other = spelled.setdefault(folded(file.path), file.path)
        if seen.isdisjoint(file.keys) and (other == file.path or _both_there(other, file.path)):
            first.append(number)
        seen |= file.keys
    return first


def _both_there(path: str, other: str) -> bool:
    """Return whether two names that differ in case or accents are two files: many disks take either for one."""
    names = [Path(each).name for each in (path, other)]
    try:
        # the folder's own list: it has one of the two where they are one
        return Path(path).parent == Path(other).parent and {*os.listdir(Path(path).parent)}.issuperset(names)  # noqa: PTH208
    except OSError:
        return False


def _unknown(state: FileState, path: str) -> RealFile:
    return RealFile(state, path, frozenset({(path,)}))


def _in_archive(file: Path) -> bool:
    try:
        return any(parent.is_file() for parent in file.parents)
    except (OSError, ValueError):
        return False
