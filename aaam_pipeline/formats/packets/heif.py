"""HEIC, AVIF and other files of boxes: the XMP packet is read, and never written.

ISO/IEC 14496-12, 8.11 (meta, iinf, iloc); 23008-12, annex A.3 (XMP is an item of the type `mime`); XMP specification,
part 3, 1.1.4 (a box `uuid` of its own, as Canon's CR3 has it).
"""

from collections.abc import Iterator
from typing import NamedTuple

from aaam_pipeline.formats.packets.source import Bytes, PacketError, Segment, Splice

XMP_TYPE = b"application/rdf+xml"
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
# a list of items is small, and a packet of XMP is no film
MOST_META, MOST_XMP = 16 << 20, 64 << 20


class Box(NamedTuple):
    """A box: its type, and where what it holds lies."""

    kind: bytes
    start: int
    end: int


def is_heif(head: bytes) -> bool:
    """Return whether a file begins as one of boxes."""
    return head[4:8] == b"ftyp"


def boxes(content: Bytes, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes of a part of a file.

    Raises:
        PacketError: one of them is cut off.
    """
    while start + 8 <= end:
        head = content[start : start + 16]
        size, body = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, body = int.from_bytes(head[8:16], "big"), 16
        size = size or end - start
        if size < body or start + size > end:
            raise PacketError("damaged", f"damaged: the box at byte {start:,} is cut off")
        yield Box(head[4:8], start + body, start + size)
        start += size


def read_xmp(content: Bytes) -> tuple[bytes | None, None]:
    """Return the packet of a file of boxes.

    Raises:
        PacketError: it is damaged.
    """
    for box in boxes(content, 0, len(content)):
        if box.kind == b"meta":
            # what some telephones put behind is no box
            return _of_items(content, box), None
        if box.kind == b"uuid" and content[box.start : box.start + 16] == XMP_UUID:
            return content[box.start + 16 : min(box.end, box.start + MOST_XMP)], None
    return None, None


def read_iptc(content: Bytes) -> None:
    """Return nothing: there is no place for IPTC records."""


def segments(content: Bytes) -> Iterator[Segment]:
    """Raise PacketError: the file is read only."""
    raise PacketError("unsupported", "no JPEG, PNG, WebP or TIFF")


def replaced(content: Bytes, xmp: bytes, forced: bool) -> list[Splice]:
    """Raise PacketError: the file is read only."""
    raise PacketError("unsupported", "no JPEG, PNG, WebP or TIFF")


def _of_items(content: Bytes, meta: Box) -> bytes | None:
    """Return the packet among the items of a box `meta`."""
    if meta.end - meta.start > MOST_META:
        raise PacketError("damaged", "damaged: its list of items is longer than 16 MiB")
    inner = {box.kind: box for box in boxes(content, meta.start + 4, meta.end)}
    if b"iinf" not in inner or b"iloc" not in inner:
        return None
    infos, places = inner[b"iinf"], inner[b"iloc"]
    counted = 2 if content[infos.start : infos.start + 1] == b"\0" else 4
    for info in boxes(content, infos.start + 4 + counted, infos.end):
        number = _xmp_item(content[info.start : info.end]) if info.kind == b"infe" else None
        if number is not None:
            parts = _extents(_Fields(content[places.start : places.end]), number)
            return _joined(content, parts, inner.get(b"idat"))
    return None


def _xmp_item(info: bytes) -> int | None:
    """Return the number of an item that is an XMP packet, None for others."""
    version, wide = info[0] if info else 0, 4 if info[:1] == b"\3" else 2
    kind = info[4 + wide + 2 :]
    if version < 2 or kind[:4] != b"mime" or kind[4:].split(b"\0")[1:2] != [XMP_TYPE]:
        return None
    return int.from_bytes(info[4 : 4 + wide], "big")


class _Fields:
    """Numbers of a box, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> int:
        if self.at + size > len(self.data):
            raise PacketError("damaged", "damaged: its list of places is cut off")
        self.at += size
        return int.from_bytes(self.data[self.at - size : self.at], "big")


def _extents(places: _Fields, wanted: int) -> list[tuple[int, int, int]]:
    """Return the parts of an item: where they are counted from (0: the file, 1: `idat`), position and length."""
    version, _, sizes = places.take(1), places.take(3), places.take(2)
    offset, length, base, index = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    for _ in range(places.take(4 if version == 2 else 2)):
        number = places.take(4 if version == 2 else 2)
        method = places.take(2) & 15 if version else 0
        places.take(2)
        start = places.take(base)
        parts = []
        for _ in range(places.take(2)):
            places.take(index if version else 0)
            parts.append((method, start + places.take(offset), places.take(length)))
        if number == wanted:
            return parts
    return []


def _joined(content: Bytes, parts: list[tuple[int, int, int]], data: Box | None) -> bytes | None:
    pieces: list[bytes] = []
    for method, at, length in parts:
        if method > 1 or (method == 1 and data is None):
            return None
        start = at + (data.start if method == 1 and data else 0)
        # no length: all that follows
        end = start + length if length else len(content)
        if end > len(content) or sum(map(len, pieces)) + end - start > MOST_XMP:
            raise PacketError("damaged", "damaged: its XMP packet is cut off")
        pieces.append(content[start:end])
    return b"".join(pieces) or None
