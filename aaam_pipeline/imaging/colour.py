"""What the numbers of a picture's pixels mean as colours: found where its format says it, and changed to sRGB."""

import struct
from collections.abc import Iterator
from contextlib import suppress

from PIL import Image

from aaam_pipeline.imaging import exif, profiles

PROFILE = "icc_profile"
# before the pixels of a file in boxes (AVIF, HEIC, JPEG 2000)
BEGINNING = 1 << 16


def note_profile(image: Image.Image, content: bytes) -> None:
    """Put the profile of an opened picture where Pillow puts ICC profiles, if its format says it in another way."""
    # a damaged note about colours says nothing about the picture
    with suppress(Exception):
        if image.format == "PNG":
            profile = _of_png(image, content)
        elif image.format in ("AVIF", "HEIF") and not image.info.get(PROFILE):
            profile = _of_box(content, b"colrnclx")
        elif image.format == "JPEG2000":
            profile = _of_jpeg2000(content)
        elif image.format in ("JPEG", "MPO") and not image.info.get(PROFILE) and exif.is_adobe_rgb(image):
            profile = profiles.adobe_rgb()
        else:
            return
        if profile is not None:
            image.info[PROFILE] = profile


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return an RGB picture of the colours by that profile as sRGB; the same if there is nothing to change."""
    found = profiles.conversion(profile, "RGB") if profile else None
    return found.apply(image) if found else image


def _of_png(image: Image.Image, content: bytes) -> bytes | None:
    """Return the profile by the chunks before the pixels; cICP counts most, then iCCP, sRGB, and cHRM with gAMA."""
    for kind, body in _chunks(content):
        if kind == b"cICP" and len(body) == 4:
            return profiles.by_code_points(body[0], body[1])
    if image.info.get(PROFILE) or "srgb" in image.info:
        return None
    gamma, chromaticity = image.info.get("gamma"), image.info.get("chromaticity")
    return profiles.by_gamma(gamma, chromaticity) if gamma or chromaticity else None


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a PNG before the pixels."""
    place = 8
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind == b"IDAT":
            return
        yield kind, content[place + 8 : place + 8 + min(length, 32)]
        place += length + 12


def _of_box(content: bytes, name: bytes) -> bytes | None:
    """Return the profile by the code points in a colour box."""
    place = content.find(name, 0, BEGINNING)
    if place < 0:
        return None
    primaries, transfer = struct.unpack_from(">HH", content, place + len(name))
    return profiles.by_code_points(primaries, transfer)


def _of_jpeg2000(content: bytes) -> bytes | None:
    """Return the profile in the colour box of a JP2 file; a bare stream of codes has none."""
    place = content.find(b"colr", 0, BEGINNING)
    # the methods 2 and 3 are ICC; precedence and approximation follow
    if place < 4 or content[:4] == b"\xff\x4f\xff\x51" or content[place + 4] not in (2, 3):
        return None
    end = place - 4 + int.from_bytes(content[place - 4 : place], "big")
    return content[place + 7 : end] or None
