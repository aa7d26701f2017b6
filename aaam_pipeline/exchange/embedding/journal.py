"""What each file held before its packet changed: lines of JSON, on disk before the file changes, read from the end."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from aaam_pipeline.core.artifacts import path_text, real_path
from aaam_pipeline.exchange.embedding.replacing import NewFile
from aaam_pipeline.formats.packets import Splice

BLOCK = 1 << 16


class Replacement(msgspec.Struct, frozen=True):
    """A file whose packet changed.

    `path`: absolute; `before`, `after`: SHA-256; `mtime_ns`: the time it had; `back`: position, length now, and the
    bytes that were there; `link`: the name that led to it, where that is another one.
    """

    path: str
    before: str
    after: str
    mtime_ns: int
    back: list[tuple[int, int, bytes]]
    link: str = ""

    @classmethod
    def of(cls, new: NewFile, link: str = "") -> "Replacement":
        """Return the line of a file that is about to be replaced."""
        back = [(each.at, each.removed, each.added) for each in new.back]
        return cls(path_text(new.target), new.before, new.after, new.status.st_mtime_ns, back, link)

    @property
    def file(self) -> Path:
        """The file's path on disk."""
        return real_path(Path(self.path))

    @property
    def names(self) -> list[Path]:
        """The file's path, and the one that led to it."""
        return [self.file, *([real_path(Path(self.link))] if self.link else [])]

    def splices(self) -> list[Splice]:
        """Return what puts back what was there."""
        return [Splice(*each) for each in self.back]


def append(path: Path, entries: Iterable[Replacement]) -> None:
    """Add lines, and wait until they are on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        if end:
            stream.seek(end - 1)
        # a line that a full disk cut off is a line of its own
        if end and stream.read(1) != b"\n":
            stream.write(b"\n")
        stream.writelines(msgspec.json.encode(entry) + b"\n" for entry in entries)
        stream.flush()
        os.fsync(stream.fileno())


def latest_first(path: Path) -> Iterator[tuple[int, Replacement]]:
    """Yield the lines, the last one first, each with the position at which it begins; damaged ones are left out."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        at = stream.seek(0, os.SEEK_END)
        rest = b""
        while at:
            size = min(BLOCK, at)
            at -= size
            stream.seek(at)
            first, *lines = (stream.read(size) + rest).split(b"\n")
            end = at + len(first)
            starts = []
            for line in lines:
                starts.append((end + 1, line))
                end += 1 + len(line)
            for start, line in reversed(starts):
                if entry := _entry(line):
                    yield start, entry
            rest = first
        if entry := _entry(rest):
            yield 0, entry


def _entry(line: bytes) -> Replacement | None:
    try:
        return msgspec.json.decode(line, type=Replacement)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
