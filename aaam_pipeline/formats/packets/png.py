"""PNG: an XMP packet is a text chunk (iTXt) before the image; IPTC may be a hexadecimal text that ImageMagick writes.

PNG specification, third edition, 5 and 11.3.3; XMP specification, part 3, 1.1.5; C2PA 2.1, A.3 (caBX).
"""

import re
import zlib
from collections.abc import Iterator

from aaam_pipeline.formats.packets.photoshop import MARK, iptc_of
from aaam_pipeline.formats.packets.source import Bytes, PacketError, Segment, Splice, fitted, has_data, only

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP = b"XML:com.adobe.xmp\0"
# no compression (a flag and a method), no language, no translated name
PLAIN = b"\0\0\0\0"
IPTC = re.compile(rb"Raw profile type (?:iptc|8bim)\0", re.IGNORECASE)
# a packet that unfolds to more is none
MOST = 1 << 26


def segments(content: Bytes) -> Iterator[Segment]:
    """Yield the parts of a PNG: its chunks, and what follows the last.

    Raises:
        PacketError: it is damaged.
    """
    yield Segment("start", 0, 8, 8)
    at = 8
    while at < len(content):
        head = content[at : at + 8]
        end = at + 12 + int.from_bytes(head[:4], "big")
        if len(head) < 8 or end > len(content):
            raise PacketError("damaged", f"damaged: the chunk at byte {at:,} is cut off")
        kind = head[4:8].decode("latin-1")
        if kind == "iTXt" and content[at + 8 : at + 8 + len(XMP)] == XMP:
            kind = "xmp"
        elif kind in ("tEXt", "zTXt", "iTXt") and IPTC.match(content[at + 8 : min(at + 40, end)]):
            kind = "iptc"
        elif kind == "caBX":
            kind = "signature"
        yield Segment(kind, at, end, at + 8)
        at = end
        if kind == "IEND":
            break
    else:
        raise PacketError("damaged", "damaged: the file ends before its last chunk")
    if at < len(content):
        yield Segment("after", at, len(content), at)


def read_xmp(content: Bytes) -> tuple[bytes | None, None]:
    """Return the packet of a PNG; raises what `segments` raises."""
    for segment in segments(content):
        if segment.kind == "xmp":
            return _text(content[segment.body + len(XMP) : segment.end - 4]), None
    return None, None


def _text(data: bytes) -> bytes | None:
    """Return the text of an iTXt chunk, behind its keyword."""
    compressed = data[:1] == b"\1"
    rest = data[2:].split(b"\0", 2)
    if len(rest) < 3:
        return None
    return _unfolded(rest[2]) if compressed else rest[2]


def _unfolded(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(data, MOST)
    except zlib.error:
        return None


def read_iptc(content: Bytes) -> bytes | None:
    """Return the IPTC records of a PNG: a length and hexadecimal digits, compressed or not."""
    segment = next((segment for segment in segments(content) if segment.kind == "iptc"), None)
    if segment is None:
        return None
    kind = content[segment.start + 4 : segment.body]
    _, _, data = content[segment.body : segment.end - 4].partition(b"\0")
    text = _unfolded(data[1:]) if kind == b"zTXt" else _text(data) if kind == b"iTXt" else data
    # a line with the name, one with the length, then digits
    words = (text or b"").split()
    try:
        records = bytes.fromhex(b"".join(words[2:]).decode("ascii"))
    except ValueError:
        return None
    return iptc_of(records) if records.startswith(MARK) else records


def replaced(content: Bytes, xmp: bytes, forced: bool) -> list[Splice]:
    """Return what puts a packet in the place of a PNG's, or into one that has none.

    `forced`: also where there is data after the image.

    Raises:
        PacketError: it is damaged, or cannot be changed so.
    """
    every = list(segments(content))
    old = only(every, "xmp")
    if old is not None:
        xmp = fitted(xmp, old.end - old.body - len(XMP) - len(PLAIN) - 4)
    data = b"iTXt" + XMP + PLAIN + xmp
    chunk = (len(data) - 4).to_bytes(4, "big") + data + zlib.crc32(data).to_bytes(4, "big")
    image = next((segment for segment in every if segment.kind == "IDAT"), None)
    if image is None:
        raise PacketError("damaged", "damaged: it has no image")
    place = old or Segment("xmp", image.start, image.start, image.start)
    splice = Splice(place.start, place.end - place.start, chunk)
    if len(chunk) != splice.removed and not forced and has_data(content, every):
        raise PacketError("trailing", "there is data after the image")
    return [splice]
