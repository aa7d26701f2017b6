"""WebP: an XMP packet is a chunk at the end, which the header of an extended file announces.

WebP container specification (RFC 9649), 2; C2PA 2.1, A.3 (a chunk of the name C2PA).
"""

from collections.abc import Iterator

from aaam_pipeline.formats.packets.source import Bytes, PacketError, Segment, Splice, fitted, has_data, only

HEADER, XMP_FLAG, ALPHA_FLAG = 12, 0x04, 0x10
CHUNKS = {b"XMP ": "xmp", b"C2PA": "signature"}


def segments(content: Bytes) -> Iterator[Segment]:
    """Yield the parts of a WebP: its header, its chunks, and what follows them.

    Raises:
        PacketError: it is damaged.
    """
    yield Segment("start", 0, HEADER, HEADER)
    last = 8 + int.from_bytes(content[4:8], "little")
    at = HEADER
    while at < last:
        head = content[at : at + 8]
        size = int.from_bytes(head[4:8], "little")
        # an odd length is followed by a zero, which the last chunk of some files lacks
        end = min(at + 8 + size + size % 2, max(last, at + 8 + size))
        if len(head) < 8 or end > len(content) or end > last + 1:
            raise PacketError("damaged", f"damaged: the chunk at byte {at:,} is cut off")
        yield Segment(CHUNKS.get(head[:4], head[:4].decode("latin-1")), at, end, at + 8)
        at = end
    if at < len(content):
        yield Segment("after", at, len(content), at)


def read_xmp(content: Bytes) -> tuple[bytes | None, None]:
    """Return the packet of a WebP; raises what `segments` raises."""
    for segment in segments(content):
        if segment.kind == "xmp":
            return content[
                segment.body : segment.body + int.from_bytes(content[segment.start + 4 : segment.body], "little")
            ], None
    return None, None


def read_iptc(content: Bytes) -> None:
    """Return nothing: WebP has no place for IPTC records."""


def replaced(content: Bytes, xmp: bytes, forced: bool) -> list[Splice]:
    """Return what puts a packet in the place of a WebP's, or into one that has none, with its header.

    `forced`: also where there is data after the image.

    Raises:
        PacketError: it is damaged, or cannot be changed so.
    """
    every = list(segments(content))
    old = only(every, "xmp")
    if old is not None:
        xmp = fitted(xmp, int.from_bytes(content[old.start + 4 : old.body], "little"))
    chunk = b"XMP " + len(xmp).to_bytes(4, "little") + xmp + b"\0" * (len(xmp) % 2)
    last = next((segment for segment in reversed(every) if segment.kind != "after"), every[0])
    # of a last chunk that lacks its zero
    missing = (last.end - last.start) % 2 if old is None else 0
    place = old or Segment("xmp", last.end, last.end, last.end)
    splices = [Splice(place.start, place.end - place.start, b"\0" * missing + chunk)]
    if header := _header(content, every):
        splices.insert(0, header)
    grown = sum(len(each.added) - each.removed for each in splices)
    size = last.end - 8 + grown
    if size >= 1 << 32:
        raise PacketError("too_large", "the file would be larger than 4 GB, the most that WebP holds")
    if grown and not forced and has_data(content, every):
        raise PacketError("trailing", "there is data after the image")
    announced = Splice(4, 4, size.to_bytes(4, "little"))
    return [*([announced] if content[4:8] != announced.added else []), *splices]


def _header(content: Bytes, every: list[Segment]) -> Splice | None:
    """Return what makes the file an extended one that announces a packet, None where it is."""
    if len(every) < 2 or every[1].kind not in ("VP8X", "VP8 ", "VP8L"):
        raise PacketError("damaged", "damaged: it does not begin with an image")
    first = every[1]
    if first.kind == "VP8X":
        flags = content[first.body : first.body + 1][0]
        return None if flags & XMP_FLAG else Splice(first.body, 1, bytes([flags | XMP_FLAG]))
    head = content[first.body : first.body + 10]
    flags = XMP_FLAG
    if first.kind == "VP8 ":
        # a frame's tag, three bytes that are always the same, then 14 bits each
        width, height = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    else:
        bits = int.from_bytes(head[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags |= ALPHA_FLAG * (bits >> 28 & 1)
    if not width or not height:
        raise PacketError("damaged", "damaged: its image has no size")
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return Splice(first.start, 0, b"VP8X\x0a\0\0\0" + bytes([flags, 0, 0, 0]) + sizes)
