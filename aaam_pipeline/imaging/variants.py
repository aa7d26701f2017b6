"""Kinds of a format that is read which are not: what to call them, so that they are not taken for damaged files."""

import re

from aaam_pipeline.imaging import tiff

FLOAT = 3
# where a JPEG says how many bits and channels it has
FRAMES = {
    0xC3: "lossless ",
    0xC5: "hierarchical ",
    0xC6: "hierarchical ",
    0xC7: "hierarchical ",
    0xF7: "lossless (LS) ",
}
# of decoders' messages
UNSUPPORTED = re.compile(r"unsupported|not supported|not implemented|cannot handle", re.IGNORECASE)


def unsupported_kind(content: bytes, plugin: str, message: str) -> str:
    """Return which kind of a format it is that is not read, by its content or a decoder's message; "" for none.

    A message of "" means that no decoder knew the header.
    """
    look = {"JPEG": _jpeg, "JPEG2000": _jpeg2000} | ({} if message else {"TIFF": _tiff})
    kind = look[plugin](content) if plugin in look else ""
    if not kind and UNSUPPORTED.search(message):
        kind = f"{plugin.replace('HEIF', 'HEIC')} of this kind ({message})"
    return kind


def is_cut_off(content: bytes, plugin: str) -> bool:
    """Return whether a file in parts ends before its last part does."""
    if plugin == "JPEG":
        # Pillow's own search of the header ends where the coded pixels begin
        return _end_of_jpeg_header(content) > len(content)
    if plugin == "PNG":
        return _end_of_chunks(content) > len(content)
    if plugin == "TIFF":
        return next(tiff.pages(content), None) is None
    if plugin == "WEBP":
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    if plugin not in ("AVIF", "HEIF", "JPEG2000"):
        return False
    if plugin == "JPEG2000" and not content.rstrip(b"\0").endswith(b"\xff\xd9"):
        return True
    place = 0 if content[4:5].isalpha() else len(content)
    while place + 16 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if length == 1:
            length = int.from_bytes(content[place + 8 : place + 16], "big")
        place += max(length, 8) if length else len(content) - place
    return place != len(content)


def _end_of_jpeg_header(content: bytes) -> int:
    """Return where a JPEG's coded pixels begin, by the lengths of its header's parts; beyond the end if cut off."""
    place = 2
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            return 0
        mark, place = content[place + 1], place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if mark == 0xDA:
            return place
    return len(content) + 1


def _end_of_chunks(content: bytes) -> int:
    place = 8
    while place + 8 <= len(content):
        kind = content[place + 4 : place + 8]
        place += 12 + int.from_bytes(content[place : place + 4], "big")
        if kind == b"IEND":
            return place
    return len(content) + 1


def _jpeg(content: bytes) -> str:
    place = 2
    while content[place : place + 1] == b"\xff" and place + 10 <= len(content):
        mark, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if mark in FRAMES or (0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC)):
            bits, channels = content[place + 4], content[place + 9]
            name = FRAMES.get(mark, "")
            if name or bits != 8 or channels not in (1, 3, 4):
                return f"{name}JPEG of {channels} x {bits} bits"
            return ""
        place += 2 + length
    return ""


def _tiff(content: bytes) -> str:
    page = next(tiff.pages(content), None)
    if page is None or not page.number(tiff.WIDTH) or not page.number(tiff.HEIGHT):
        return ""
    bits, samples, form = (page.number(tag, 1) for tag in (tiff.BITS, tiff.SAMPLES, tiff.SAMPLE_FORMAT))
    numbers = "floats" if form == FLOAT else "numbers"
    compression, photometric = page.number(tiff.COMPRESSION, 1), page.number(tiff.PHOTOMETRIC)
    return (
        f"TIFF of {numbers} of {bits} bits, {samples} a pixel "
        f"(photometric interpretation {photometric}, compression {compression})"
    )


def _jpeg2000(content: bytes) -> str:
    place = content.find(b"\xff\x4f\xff\x51")
    if place < 0 or place + 42 > len(content):
        return ""
    channels, bits = int.from_bytes(content[place + 40 : place + 42], "big"), content[place + 42 : place + 43]
    return f"JPEG 2000 of {channels} x {(bits[0] & 127) + 1} bits" if bits and channels > 4 else ""
