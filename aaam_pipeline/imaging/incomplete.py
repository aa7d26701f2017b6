"""Pictures that are whole in a file that is not, and parts of pictures.

A file can lack its end, or hold a damaged note, and still have every pixel. To tell, the picture is decoded twice with
different values for what is missing: rows that come out the same both times are there. Only files that fail to decode
come here, so that the others cost nothing.
"""

import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from math import floor
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging import formats
from aaam_pipeline.imaging.decoding import opened
from aaam_pipeline.imaging.profiles import LARGEST_PROFILE

T = TypeVar("T")
MENDABLE = frozenset({"truncated", "damaged"})
# formats whose decoders give all or nothing
INDIVISIBLE = frozenset({"WEBP", "AVIF", "HEIF", "JPEG2000"})
END_OF_IMAGE = b"\xff\xd9"
# what may follow coded pixels: where bits are missing, it changes the blocks that they belong to
FILLER = b"\x5a\x35\x9c\x6b" * 32
COEFFICIENTS = 64
START_OF_SCAN, FRAMES = 0xDA, frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
# behind a byte of 255: a zero that makes it one of the pixels, restarts
WITHIN_PIXELS = frozenset({b"", b"\0", *(bytes([mark]) for mark in range(0xD0, 0xD8))})
# two values for what is missing; the first is seen if a part is accepted
FILLS = (128, 64)
ROWS = 256
# of PNG's chunks, those that a picture's pixels, colours and notes of the camera need
NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf", b"IDAT", b"IEND"})


def decode_incomplete(
    content: bytes, max_pixels: int, accept_part: bool, failure: ImageError, use: Callable[[Image.Image], T]
) -> T:
    """Return what `use` makes of a picture that failed to decode, if all its rows are there, or some are accepted.

    Raises:
        ImageError: `failure`, or truncated with how much is there.
    """
    kind = formats.identify(content)
    plugin = kind.plugin if kind else ""
    if plugin == "JPEG":
        ended = _without_end(content)
        there = _rows_of_jpeg(ended, max_pixels, failure)
        if not accept_part and (scan := _last_of_more_scans(ended)):
            raise ImageError("truncated", f"truncated in pass {scan} over the picture; --accept-truncated takes it")
        _check(there, accept_part)
        with opened(ended + END_OF_IMAGE, max_pixels) as image:
            return use(image)
    mended = MENDERS[plugin](content) if plugin in MENDERS else content
    if mended != content:
        try:
            with opened(mended, max_pixels) as image:
                return use(image)
        except ImageError as error:
            if error.kind not in MENDABLE:
                raise
    if plugin in INDIVISIBLE:
        raise failure
    parts = [_part(mended, max_pixels, fill, failure) for fill in FILLS]
    _check(_share(*parts), accept_part)
    with opened(mended, max_pixels):
        return use(parts[0].image)


def _check(there: float, accept_part: bool) -> None:
    """Refuse a part, unless it is accepted, and one of no rows."""
    if there == 1 or (accept_part and there > 0):
        return
    hint = "; --accept-truncated takes it" if there else ""
    raise ImageError("truncated", f"truncated: {floor(there * 100)} % of the rows are there{hint}")


class _Part(NamedTuple):
    """What could be decoded of a picture, and a checksum of each row of pixels that the file should have."""

    image: Image.Image
    sums: list[int]


def _part(content: bytes, max_pixels: int, fill: int, failure: ImageError) -> _Part:
    """Return what can be decoded of a picture; pixels that are not there have the value `fill`."""
    try:
        with opened(content, max_pixels) as image:
            bands = len(image.getbands())
            image.im = Image.new(image.mode, image.size, fill if bands == 1 else (fill,) * bands).im
            frame = image.tile[0].extents if image.format == "GIF" else (0, 0, *image.size)  # type: ignore[attr-defined]
            # GIF's decoder fills by itself; a frame may be smaller than the picture
            image._frame_transparency = fill  # type: ignore[attr-defined]
            # whatever stops the decoder: what it has written until then counts
            with suppress(Exception):
                image.load()
            image.tile = []  # type: ignore[attr-defined]
            if image.palette:
                # to be put again: the decoder may have begun with pixels of its own
                image.palette.dirty = 1
            return _Part(image, _row_sums(image.crop(frame)))
    except ImageError as error:
        raise (failure if error.kind in MENDABLE else error) from None


def _share(one: _Part, other: _Part) -> float:
    """Return the share of rows, from 0 to 1, that do not depend on what was there before decoding."""
    return sum(row == same for row, same in zip(one.sums, other.sums, strict=True)) / len(one.sums)


def _row_sums(image: Image.Image) -> list[int]:
    sums = []
    for top in range(0, image.height, ROWS):
        strip = np.asarray(image.crop((0, top, image.width, min(top + ROWS, image.height))))
        sums += [zlib.crc32(row.tobytes()) for row in strip]
    return sums


def _without_end(content: bytes) -> bytes:
    """Return a JPEG without what does not belong to its coded pixels: zeros, half a mark of the end."""
    bare = content.rstrip(b"\0")
    if bare[-1:] == b"\xff" and len(bare) < len(content):
        # a byte of 255 in coded pixels is followed by a zero
        return bare + b"\0"
    return bare.removesuffix(b"\xff")


def _rows_of_jpeg(ended: bytes, max_pixels: int, failure: ImageError) -> float:
    """Return the share of a JPEG's rows that are there, from its first on."""
    sums = []
    for filler in (b"", FILLER):
        try:
            with opened(ended + filler + END_OF_IMAGE, max_pixels) as image:
                image.load()
                sums.append(_row_sums(image))
        except ImageError as error:
            raise (failure if error.kind in MENDABLE else error) from None
    one, other = sums
    return next((row for row, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), len(one)) / len(one)


def _last_of_more_scans(content: bytes) -> int:
    """Return the number of a JPEG's last scan if more would have to follow: coefficients of a component lack bits."""
    left: dict[int, list[int | None]] = {}
    scans, place = 0, 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        mark, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        body = content[place + 4 : place + 2 + length]
        place += 2 + length
        if mark in FRAMES:
            left = {body[6 + 3 * number]: [None] * COEFFICIENTS for number in range(body[5])}
        if mark != START_OF_SCAN:
            continue
        scans += 1
        components = body[0]
        first, last, bits = body[1 + 2 * components :]
        for component in body[1 : 1 + 2 * components : 2]:
            left[component][first : last + 1] = [bits & 15] * (last + 1 - first)
        place = _next_mark(content, place)
    return 0 if all(bits == 0 for component in left.values() for bits in component) else scans


def _next_mark(content: bytes, place: int) -> int:
    """Return where the next mark of a JPEG is that is none of those within coded pixels."""
    while (place := content.find(b"\xff", place)) >= 0:
        if content[place + 1 : place + 2] not in WITHIN_PIXELS:
            return place
        place += 2
    return len(content)


def _mended_png(content: bytes) -> bytes:
    """Return a PNG without the chunks that it can do without, the damaged ones among them."""
    kept, place = [content[:8]], 8
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        chunk = content[place : place + 12 + length]
        is_whole = len(chunk) == length + 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if kind in NEEDED and (is_whole or kind in (b"IHDR", b"PLTE", b"IDAT")) and not _is_bomb(kind, chunk):
            kept.append(chunk)
        place += 12 + length
    return b"".join(kept)


def _is_bomb(kind: bytes, chunk: bytes) -> bool:
    """Return whether it is a profile that unpacks to more than any has."""
    if kind != b"iCCP":
        return False
    unpacker = zlib.decompressobj()
    with suppress(zlib.error):
        unpacker.decompress(chunk[chunk.find(b"\0", 8) + 2 : -4], LARGEST_PROFILE)
    return bool(unpacker.unconsumed_tail)


def _mended_webp(content: bytes) -> bytes:
    """Return a WebP file that ends with its last complete chunk."""
    place = 12
    while place + 8 <= len(content):
        end = place + 8 + int.from_bytes(content[place + 4 : place + 8], "little")
        end += end % 2
        if end > len(content):
            break
        place = end
    return content[:4] + struct.pack("<I", place - 8) + content[8:place]


MENDERS: dict[str, Callable[[bytes], bytes]] = {
    "PNG": _mended_png,
    "WEBP": _mended_webp,
    "JPEG2000": lambda content: content.removesuffix(b"\xff") + END_OF_IMAGE,
}
