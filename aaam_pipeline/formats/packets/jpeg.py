"""JPEG: an XMP packet is an APP1 segment, a longer one continues in others; IPTC is in Photoshop's APP13.

XMP specification, part 3 (Adobe, 2020), 1.1.3; ISO/IEC 10918-1, annex B; CIPA DC-007 (MPF); C2PA 2.1, A.3 (APP11).
"""

import re
from collections.abc import Iterator
from itertools import takewhile

from aaam_pipeline.formats.packets.photoshop import iptc_of
from aaam_pipeline.formats.packets.source import Bytes, PacketError, Segment, Splice, fitted, has_data, only

SIGNATURE = b"\xff\xd8\xff"
XMP, EXTENSION = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP = b"Photoshop 3.0\0"
# a segment's length, itself included, is two bytes
MOST = 65535
START_OF_SCAN, END, NO_LENGTH = 0xDA, 0xD9, frozenset({0x01, *range(0xD0, 0xD8)})
# what an APP segment begins with, and what it is then
KINDS = (
    (0xE1, XMP, "xmp"),
    (0xE1, EXTENSION, "xmp extension"),
    (0xE1, b"Exif\0", "exif"),
    (0xE0, b"JF", "jfif"),
    (0xE2, b"MPF\0", "pictures"),
    (0xED, PHOTOSHOP, "iptc"),
)
# behind pixels: not a zero, which makes 255 a value, no restart and no filling
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
# of an extension: its packet's name, its whole length, where this part of it begins
EXTENSION_HEAD = 32 + 4 + 4


def segments(content: Bytes) -> Iterator[Segment]:
    """Yield the parts of a JPEG: its segments, then the image, then what follows it.

    Raises:
        PacketError: it is damaged.
    """
    at = 0
    for segment in _segments(content):
        yield segment
        at = segment.end
    end = _end_of_image(content, at)
    yield Segment("image", at, end, at)
    if end < len(content):
        yield Segment("after", end, len(content), end)


def _segments(content: Bytes) -> Iterator[Segment]:
    """Yield the parts before the image."""
    yield Segment("start", 0, 2, 2)
    at = 2
    while True:
        start = at
        while content[at : at + 2] == b"\xff\xff":
            at += 1
        head = content[at : at + 4]
        if len(head) < 4 or head[0] != 0xFF:
            raise PacketError("damaged", f"damaged: no segment begins at byte {at:,}")
        if head[1] == START_OF_SCAN:
            return
        length = 0 if head[1] in NO_LENGTH else int.from_bytes(head[2:4], "big")
        end = at + 2 + length
        if head[1] == END or (length < 2 and head[1] not in NO_LENGTH) or end > len(content):
            raise PacketError("damaged", f"damaged: the segment at byte {at:,} has no end, or the file no image")
        yield _segment(content, head[1], start, at + 4, end)
        at = end


def _segment(content: Bytes, marker: int, start: int, body: int, end: int) -> Segment:
    begins = content[body : min(end, body + 40)]
    for known, prefix, kind in KINDS:
        if marker == known and begins.startswith(prefix):
            long = prefix if kind in ("xmp", "xmp extension", "iptc") else b""
            return Segment(kind, start, end, body + len(long))
    if marker == 0xEB and begins.startswith(b"JP") and b"c2pa" in content[body:end]:
        return Segment("signature", start, end, body)
    return Segment(f"segment {marker:02x}", start, end, body)


def _end_of_image(content: Bytes, at: int) -> int:
    """Return where the image ends that has its first scan at `at`: behind its end marker, or with the file."""
    while at < len(content):
        # the marker may lie across two pieces
        piece = content[at : at + (1 << 20) + 1]
        found = next((each.start() for each in MARKER.finditer(piece) if piece[each.start() + 1] == END), None)
        if found is not None:
            return at + found + 2
        at += 1 << 20
    return len(content)


def read_xmp(content: Bytes) -> tuple[bytes | None, bytes | None]:
    """Return the packet of a JPEG, and the packet that extends it; raises what `segments` raises."""
    head = list(_segments(content))
    main = next((segment for segment in head if segment.kind == "xmp"), None)
    parts: dict[bytes, dict[int, bytes]] = {}
    for segment in (segment for segment in head if segment.kind == "xmp extension"):
        name = content[segment.body : segment.body + EXTENSION_HEAD]
        parts.setdefault(name[:32], {})[int.from_bytes(name[36:40], "big")] = content[
            segment.body + EXTENSION_HEAD : segment.end
        ]
    if main is None:
        return None, None
    xmp = content[main.body : main.end]
    # of several extensions, the one that the packet names
    extension = next((each for name, each in parts.items() if name in xmp), None)
    return xmp, None if extension is None else b"".join(part for _, part in sorted(extension.items()))


def read_iptc(content: Bytes) -> bytes | None:
    """Return the IPTC records of a JPEG; Photoshop's resources may be cut into several segments."""
    resources = b"".join(
        content[segment.body : segment.end] for segment in _segments(content) if segment.kind == "iptc"
    )
    return iptc_of(resources)


def replaced(content: Bytes, xmp: bytes, forced: bool) -> list[Splice]:
    """Return what puts a packet in the place of a JPEG's, or into one that has none.

    `forced`: also where there is data after the image, or a list of pictures by their places.

    Raises:
        PacketError: it is damaged, or cannot be changed so.
    """
    every = list(segments(content))
    old = only(every, "xmp")
    head = 4 + len(XMP)
    if old is not None:
        xmp = fitted(xmp, old.end - old.body)
    if head - 2 + len(xmp) > MOST:
        raise PacketError("too_large", "the packet would be more than 64 KB, the most that a segment of JPEG holds")
    written = b"\xff\xe1" + (head - 2 + len(xmp)).to_bytes(2, "big") + XMP + xmp
    place = old or _place(every)
    splice = Splice(place.start, place.end - place.start, written)
    pictures = next((segment for segment in every if segment.kind == "pictures"), None)
    if len(written) == splice.removed:
        return [splice]
    if pictures is not None and pictures.start < splice.at:
        # places are counted from that list: only what comes before it may change its length
        raise PacketError(
            "unsupported", "its packet stands behind a list of pictures (MPF), whose places would be wrong"
        )
    if not forced:
        if pictures is not None:
            raise PacketError("trailing", "it holds several pictures (MPF), as of a gain map or a preview")
        if has_data(content, every):
            raise PacketError("trailing", "there is data after the image, as of a motion photo")
    return [splice]


def _place(every: list[Segment]) -> Segment:
    """Return an empty segment where a packet belongs: behind the beginning, JFIF's and Exif's segments."""
    before = list(takewhile(lambda segment: segment.kind in ("start", "jfif", "exif"), every))
    end = before[-1].end
    return Segment("xmp", end, end, end)
