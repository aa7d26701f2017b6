"""A file's bytes by position, without reading all of it, and files that differ from another in a few places."""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple, Protocol

from aaam_pipeline.core.errors import AaamError

# what is read at once: the notes of most cameras, with their small picture, are in the first part of a file
HEAD, STEP, PIECE = 1 << 16, 1 << 12, 1 << 20


class Bytes(Protocol):
    """Bytes with a length, of which parts can be taken: `bytes`, or a `FileContent`."""

    def __len__(self) -> int:
        """Return how many bytes there are."""

    def __getitem__(self, part: slice, /) -> bytes:
        """Return a part."""


class FileContent:
    """The bytes of an open file; a part that was read last is not read again."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read through `stream`, which stays the caller's; unbuffered ones do."""
        self._stream = stream
        self._size = stream.seek(0, os.SEEK_END)
        self._start, self._part = 0, self._read(min(HEAD, self._size), 0)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(self._size)
        if start >= end:
            return b""
        if start < self._start or end > self._start + len(self._part):
            self._start = start
            self._part = self._read(min(max(end - start, STEP), self._size - start), start)
        return self._part[start - self._start : end - self._start]

    def _read(self, size: int, start: int) -> bytes:
        self._stream.seek(start)
        first = self._stream.read(size)
        if len(first) == size:
            return first
        # the system gives out 2 GB at most at once; a file that became shorter gives nothing
        read = [first]
        while read[-1] and sum(map(len, read)) < size:
            read.append(self._stream.read(size - sum(map(len, read))))
        return b"".join(read)


class Splice(NamedTuple):
    """A change of a file: at the position `at`, `removed` bytes give way to `added`."""

    at: int
    removed: int
    added: bytes


class PacketError(AaamError):
    """The packet of one file cannot be read or replaced.

    `kind`: `damaged`, `unsupported` (no JPEG, PNG, WebP or TIFF, or a form of one that is not changed), `too_large`,
    `signed`, `trailing` (there is data after the image, or a list of pictures by their places), `links`, `raw`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def spliced(content: Bytes, splices: Sequence[Splice]) -> Iterator[bytes]:
    """Yield the bytes of a file with changes, which are in order and do not overlap, piece by piece."""
    at = 0
    for splice in splices:
        yield from pieces(content, at, splice.at)
        yield splice.added
        at = splice.at + splice.removed
    yield from pieces(content, at, len(content))


def inverse(content: Bytes, splices: Sequence[Splice]) -> list[Splice]:
    """Return what turns the changed file into `content` again."""
    moved, back = 0, []
    for at, removed, added in splices:
        back.append(Splice(at + moved, len(added), content[at : at + removed]))
        moved += len(added) - removed
    return back


def pieces(content: Bytes, start: int, end: int) -> Iterator[bytes]:
    """Yield a part of a file, piece by piece."""
    for at in range(start, end, PIECE):
        yield content[at : min(at + PIECE, end)]


class Segment(NamedTuple):
    """A part of a file: all of them, one after the other, are the file.

    `kind`: `xmp`, `xmp extension`, `iptc`, `signature`, `pictures` (a list of them by their places), `image`, `after`
    (what follows the image), or another name of the format's own. `start`, `end`: of its bytes; `body`: where what it
    holds begins behind its heading.
    """

    kind: str
    start: int
    end: int
    body: int


def only(segments: Sequence[Segment], kind: str) -> Segment | None:
    """Return the one segment of a kind, None where there is none.

    Raises:
        PacketError: there are several.
    """
    found = [segment for segment in segments if segment.kind == kind]
    if len(found) > 1:
        raise PacketError("unsupported", f"it has {len(found)} XMP packets, and nobody knows which one counts")
    return found[0] if found else None


def fitted(xmp: bytes, size: int) -> bytes:
    """Return a packet with blanks before its end, so that it is `size` bytes; as it is if it is longer."""
    if len(xmp) > size:
        return xmp
    end = xmp.rfind(b"<?xpacket end=")
    end = len(xmp) if end < 0 else end
    line = b" " * 99 + b"\n"
    room = size - len(xmp)
    return xmp[:end] + (line * (room // 100 + 1))[:room] + xmp[end:]


def has_data(content: Bytes, segments: Iterable[Segment]) -> bool:
    """Return whether anything but zeros follows the image."""
    after = (segment for segment in segments if segment.kind == "after")
    return any(piece.strip(b"\0") for segment in after for piece in pieces(content, segment.start, segment.end))
