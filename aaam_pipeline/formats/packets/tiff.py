"""TIFF and BigTIFF: an XMP packet is tag 700 of the first directory; IPTC tag 33723, or one of Photoshop's resources.

TIFF 6.0, section 2; BigTIFF design (Aware Systems); XMP specification, part 3, 1.1.8; C2PA 2.1, A.3 (tag 52545).
What a tag holds lies anywhere in the file, found by its position: so nothing that is there moves, what is new goes to
the end.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from aaam_pipeline.formats.packets.photoshop import iptc_of
from aaam_pipeline.formats.packets.source import Bytes, PacketError, Segment, Splice, fitted

XMP, IPTC, PHOTOSHOP, C2PA = 700, 33723, 34377, 52545
# bytes of a value by its type
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
BYTE = 1
MOST_ENTRIES = 4096
# bytes of notes; more are none
MOST = 1 << 26


class TiffForm(NamedTuple):
    """How numbers are written: the byte order, and the sizes of a count, an entry's tag to count, and a position."""

    order: str
    number: Struct
    entry: Struct
    position: Struct
    first: int
    most: int

    def entry_of(self, tag: int, kind: int, count: int, position: int) -> bytes:
        """Return an entry of a directory whose value lies at a position."""
        return self.entry.pack(tag, kind, count, self.position.pack(position))


class TiffEntry(NamedTuple):
    """An entry of a directory, at the position `at`; `start`, `end`: where its value lies."""

    tag: int
    at: int
    start: int
    end: int


def _form(content: Bytes) -> TiffForm:
    head = content[:8]
    order = "<" if head[:2] == b"II" else ">"
    if b"+" in head[2:4]:
        if head[4:8] not in (b"\x08\0\0\0", b"\0\x08\0\0"):
            raise PacketError("damaged", "damaged: its header is no BigTIFF's")
        return TiffForm(order, Struct(order + "Q"), Struct(order + "HHQ8s"), Struct(order + "Q"), 8, (1 << 64) - 1)
    return TiffForm(order, Struct(order + "H"), Struct(order + "HHI4s"), Struct(order + "I"), 4, (1 << 32) - 1)


def _directory(content: Bytes) -> tuple[TiffForm, int, list[TiffEntry]]:
    """Return how a TIFF is written, where its first directory lies, and that one's entries.

    Raises:
        PacketError: it is damaged.
    """
    form = _form(content)
    (place,) = form.position.unpack(_held(content, form.first, form.position.size))
    (count,) = form.number.unpack(_held(content, place, form.number.size))
    if not place or count > MOST_ENTRIES:
        raise PacketError("damaged", "damaged: its first directory cannot be found")
    start = place + form.number.size
    table = _held(content, start, count * form.entry.size)
    entries = []
    for number, (tag, kind, values, held) in enumerate(form.entry.iter_unpack(table)):
        at = start + number * form.entry.size
        size = values * SIZES.get(kind, 1)
        value = at + form.entry.size - len(held)
        if size > len(held):
            (value,) = form.position.unpack(held)
        entries.append(TiffEntry(tag, at, value, value + size))
    return form, place, entries


def _held(content: Bytes, start: int, size: int) -> bytes:
    held = content[start : start + size]
    if len(held) < size:
        raise PacketError("damaged", f"damaged: it ends before byte {start + size:,}")
    return held


def _value(content: Bytes, *tags: int) -> Iterator[bytes]:
    found = {entry.tag: entry for entry in _directory(content)[2]}
    for tag in tags:
        if tag in found:
            entry = found[tag]
            if entry.end - entry.start > MOST:
                raise PacketError("damaged", f"damaged: tag {tag} is {entry.end - entry.start:,} bytes long")
            yield _held(content, entry.start, entry.end - entry.start)


def segments(content: Bytes) -> Iterator[Segment]:
    """Yield what is told of a TIFF: its packet and a signature, where there are such; the rest is `other`.

    Raises:
        PacketError: it is damaged.
    """
    known = {XMP: "xmp", C2PA: "signature"}
    found = sorted((each for each in _directory(content)[2] if each.tag in known), key=lambda each: each.start)
    at = 0
    for entry in found:
        yield Segment("other", at, entry.start, at)
        yield Segment(known[entry.tag], entry.start, entry.end, entry.start)
        at = entry.end
    yield Segment("other", at, len(content), at)


def read_xmp(content: Bytes) -> tuple[bytes | None, None]:
    """Return the packet of a TIFF's first directory; raises what `segments` raises."""
    return next(_value(content, XMP), None), None


def read_iptc(content: Bytes) -> bytes | None:
    """Return the IPTC records of a TIFF's first directory."""
    for tag in (IPTC, PHOTOSHOP):
        for value in _value(content, tag):
            return iptc_of(value) if tag == PHOTOSHOP else value
    return None


def replaced(content: Bytes, xmp: bytes, forced: bool) -> list[Splice]:
    """Return what puts a packet in the place of a TIFF's, or into one that has none; nothing else moves.

    Raises:
        PacketError: it is damaged, or cannot be changed so.
    """
    form, place, entries = _directory(content)
    old = next((each for each in entries if each.tag == XMP), None)
    if old is not None:
        room = old.end - old.start
        _held(content, old.start, room)
        packet = fitted(xmp, room)
        if len(packet) == room:
            return [Splice(old.start, room, packet)]
    size = len(content)
    # a packet that ends the file, as one that was written here before, gives way to the new one
    at_end = old is not None and old.end == size and old.start > old.at
    start = old.start if old is not None and at_end else size + size % 2
    added = b"\0" * (0 if at_end else size % 2) + xmp
    end = Splice(start if at_end else size, size - start if at_end else 0, added)
    if old is not None:
        changed = Splice(old.at, form.entry.size, form.entry_of(XMP, BYTE, len(xmp), start))
        splices = [changed, end]
    else:
        splices = _longer_directory(content, form, place, entries, xmp, end, start)
    if size + len(xmp) + (len(entries) + 2) * form.entry.size > form.most:
        raise PacketError("too_large", "the file would be larger than 4 GB, the most that a TIFF holds")
    return splices


def _longer_directory(
    content: Bytes, form: TiffForm, place: int, entries: list[TiffEntry], xmp: bytes, end: Splice, start: int
) -> list[Splice]:
    """Return what adds a packet and a copy of the directory with one entry more, to which the header leads then."""
    first, size = place + form.number.size, form.entry.size
    table = [content[first + at : first + at + size] for at in range(0, len(entries) * size, size)]
    after = _held(content, first + len(table) * size, form.position.size)
    new = form.entry_of(XMP, BYTE, len(xmp), start)
    # entries are in the order of their tags
    before = sum(entry.tag < XMP for entry in entries)
    table.insert(before, new)
    directory = form.number.pack(len(table)) + b"".join(table) + after
    at = start + len(xmp)
    moved = at + at % 2
    added = end.added + b"\0" * (at % 2) + directory
    return [
        Splice(form.first, form.position.size, form.position.pack(moved)),
        Splice(end.at, end.removed, added),
    ]
