"""The photographs of hits: where they lie now, small pictures of them, and a folder of copies or links."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from aaam_pipeline.core.artifacts import PARTIAL, absolute, path_text
from aaam_pipeline.core.errors import ImageError, UsageError
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from PIL.Image import Image

    from aaam_pipeline.search import Hit

# bytes of a name: what every usual file system takes
NAME_MAX = 255


def original(hit: "Hit") -> Path:
    """Return the file of a hit, absolute.

    Raises:
        ImageError: there is none; says why.
    """
    if hit.is_remote:
        raise ImageError("unreadable", "not on this machine")
    try:
        file = absolute(hit.file)
        if file.is_file():
            return file
        inside = any(parent.is_file() for parent in file.parents)
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from None
    raise ImageError("unreadable", "inside an archive" if inside else "not there any more")


def thumbnail(hit: "Hit", longest: int) -> "Image":
    """Return the picture, its longer side at most `longest` pixels.

    Raises:
        ImageError: there is no file (`original`), or it cannot be decoded.
    """
    # Pillow is a tenth of a second, which a search without pictures need not wait for
    from aaam_pipeline.imaging import resizing

    file = original(hit)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ImageError("unreadable", f"{path_text(file)}: {error.strerror}") from None
    return resizing.thumbnail(content, longest)


def collect(hits: "Sequence[Hit]", folder: Path, *, link: bool, first: int = 1) -> bool:
    """Copy or link images into an empty folder as `0001_NAME`, best first; `first`: the rank of the best of them.

    What cannot be is counted and said in a line on stderr. Returns whether all of them are there.

    Raises:
        UsageError: the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
    width = max(4, len(str(first + len(hits) - 1)))
    failures: Counter[str] = Counter()
    for rank, hit in enumerate(hits, first):
        try:
            _put(original(hit), folder, f"{rank:0{width}d}", link)
        except ImageError as error:
            failures[str(error)] += 1
        except OSError as error:
            failures[error.strerror or str(error)] += 1
    if failures:
        counts = ", ".join(f"{count} {why}" for why, count in failures.items())
        done = f"{'was' if failures.total() == 1 else 'were'} not {'linked' if link else 'copied'}"
        print(f"error: {failures.total()} of {counted(len(hits), 'image')} {done}: {counts}", file=sys.stderr)
    return not failures


def _put(source: Path, folder: Path, rank: str, link: bool) -> None:
    target = folder / _name(rank, source.name)
    if link:
        target.symlink_to(source)
        return
    # a copy that is interrupted must not look like a whole one
    partial = folder / f".{rank}{PARTIAL}"
    try:
        shutil.copy2(source, partial)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _name(rank: str, name: str) -> str:
    """Return a name that begins with the rank; one that would be too long loses its end, but not the suffix."""
    room, content = NAME_MAX - len(rank) - 1, os.fsencode(name)
    if len(content) > room:
        suffix = os.fsencode(PurePath(name).suffix)[:room]
        # not half of a character
        content = content[: room - len(suffix)].decode("utf8", "ignore").encode() + suffix
    return f"{rank}_{os.fsdecode(content)}"
