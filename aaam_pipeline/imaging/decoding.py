"""From a file's bytes to an RGB picture of S x S, as a viewer would show it; whatever goes wrong is an `ImageError`.

Large pictures are decoded at reduced scale: a JPEG decoder that makes 1/2, 1/4 or 1/8 of the size straight from the
DCT coefficients (Pillow's `draft`) saves most of the work. Small ones take the plain path, pixel by pixel the same as
if there were no other. This module never loads torch: decoding processes import it.
"""

import io
import re
import warnings
from typing import Any, NamedTuple

import numpy as np
from PIL import AvifImagePlugin, Image, ImageCms, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging import exif
from aaam_pipeline.imaging.exif import Taken

# about 179 megapixels, Pillow's own limit: above it a small file could fill the memory
MAX_PIXELS = 178_956_970
# A picture is never decoded smaller than this many times S in either direction. At 3 the scores of an ImageNet model
# differ from the full decode's by less than 0.01 on average even in its best class; at 2 by up to 0.02.
OVERSAMPLING = 3
# what a viewer of photographs knows; others of Pillow's formats are slow, unsafe (EPS runs Ghostscript), or without a
# signature, so that any bytes can be one (TGA). MPO, a JPEG of several pictures, comes with JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
HEIC_MISSING = "HEIC needs an extra: pip install 'aaam-pipe[heic]'"
# modes in which the mean of two pixels is the colour between them
AVERAGED = frozenset({"L", "RGB", "CMYK", "LA", "RGBA"})
TILE_WIDTH, TILE_HEIGHT = 322, 323
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
SIDEWAYS = frozenset({5, 6, 7, 8})
_QUIET: tuple[Any, ...] = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif)\."), 0)
# several pictures are decoded at once: threads for each of them would only get in each other's way
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
Box = tuple[float, float, float, float]


class Squashed(NamedTuple):
    """A picture of S x S, the full width and height as shown, and when it was taken where the camera noted it."""

    image: Image.Image
    width: int
    height: int
    taken: Taken | None


def squash(content: bytes, size: int, max_pixels: int = MAX_PIXELS) -> Squashed:
    """Decode a file's bytes and squash the picture to S x S.

    EXIF orientation is applied, transparency is shown on white, 16 bits a channel become 8, of several frames or pages
    the first is taken.

    Raises:
        ImageError: with `kind` empty_file, not_an_image, unsupported, too_large or truncated.
    """
    if not content:
        raise ImageError("empty_file", "the file has no bytes")
    _silence_pillow()
    # Pillow has a limit of its own, and stops at twice this number
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels // 2 + 1
    try:
        image = _open(content)
        _check_size(image, max_pixels)
        return Squashed(*_squash(image, size), exif.taken(image))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("not_an_image", "no known image format") from None
    except Image.DecompressionBombError as error:
        raise ImageError("too_large", str(error)) from None
    except MemoryError:
        raise ImageError("too_large", "not enough memory to decode it") from None
    # a damaged file can raise anything in Pillow's format plugins: all of it means the same to a user
    except Exception as error:
        if "Decompressed data too large" in str(error) or "Too much memory used in text" in str(error):
            raise ImageError("too_large", f"a small file that unpacks to a large one: {error}") from None
        raise ImageError("truncated", f"damaged or cut off: {error}") from None


def _silence_pillow() -> None:
    """Keep Pillow's warnings about damaged files off the screen: what matters of them becomes an `ImageError`.

    `warnings.catch_warnings` swaps the filters of the whole process: threads that enter and leave it by turns end with
    the wrong ones. So there is one filter, added when it is not there.
    """
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=_QUIET[3].pattern)


def _open(content: bytes) -> Image.Image:
    """Read the header."""
    if not _is_heic(content):
        return Image.open(io.BytesIO(content), formats=FORMATS)
    try:
        import pillow_heif
    except ImportError:
        raise ImageError("unsupported", HEIC_MISSING) from None
    pillow_heif.register_heif_opener()
    return Image.open(io.BytesIO(content), formats=("HEIF",))


def _is_heic(content: bytes) -> bool:
    """Tell by the brands in its first box; AVIF pictures are such files too, of another brand."""
    if content[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(content[:4], "big"), 512)
    brands = {content[8:12], *(content[place : place + 4] for place in range(16, end, 4))}
    return not HEIC_BRANDS.isdisjoint(brands) and content[8:12] not in (b"avif", b"avis")


def _check_size(image: Image.Image, max_pixels: int) -> None:
    """Refuse by the header what would fill the memory."""
    sides = [image.size]
    tags = getattr(image, "tag_v2", {})
    if TILE_WIDTH in tags and TILE_HEIGHT in tags:
        # a TIFF of few pixels can be one corner of a tile that is unpacked whole
        sides.append((int(tags[TILE_WIDTH]), int(tags[TILE_HEIGHT])))
    for width, height in sides:
        if width * height > max_pixels:
            raise ImageError("too_large", f"{width} x {height} pixels are over the limit of {max_pixels}")


def _squash(image: Image.Image, size: int) -> tuple[Image.Image, int, int]:
    needed = OVERSAMPLING * size
    width, height = image.size
    box: Box | None = None
    large = min(width, height) >= 2 * needed
    if large and image.format in ("JPEG", "MPO"):
        _, box = image.draft(None, (needed, needed)) or (None, None)
        image.load()
    else:
        image.load()
        width, height = image.size
    orientation = exif.orientation(image)
    turn = TURNS.get(orientation)
    if orientation in SIDEWAYS:
        width, height = height, width
    if not large:
        shown = _flatten(image if turn is None else image.transpose(turn))
        return shown.resize((size, size), Resampling.BILINEAR), width, height
    image, box = _reduce(image, box or (0, 0, *image.size), needed)
    small = _flatten(image).resize((size, size), Resampling.BILINEAR, box)
    # turning S x S pixels costs nothing, and the box needs no turning
    return small if turn is None else small.transpose(turn), width, height


def _reduce(image: Image.Image, box: Box, needed: int) -> tuple[Image.Image, Box]:
    """Shrink by a whole number, averaging blocks, while both sides of `box` stay `needed` pixels or more."""
    if image.mode not in AVERAGED or "transparency" in image.info:
        image = _flatten(image)
    factor = int(min(box[2], box[3]) // needed)
    if factor < 2:
        return image, box
    # the last block may be a part of one: the box ends where the picture does
    return image.reduce(factor), (0, 0, box[2] / factor, box[3] / factor)


def _flatten(image: Image.Image) -> Image.Image:
    """Return the picture as RGB."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return _from_deep(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    if image.mode in ("CMYK", "LAB"):
        return _from_print(image)
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Return a 16- or 32-bit grey picture as RGB; Pillow's own conversion would clip everything above 255 to white."""
    deep = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    top = 65535.0 if image.mode.startswith("I") and deep.max(initial=0) > 255 else max(deep.max(initial=0), 255.0)
    return Image.fromarray((deep.clip(0, top) * (255 / top)).astype(np.uint8), "L").convert("RGB")


def _from_print(image: Image.Image) -> Image.Image:
    """Return the RGB that inks stand for, by the profile of the press where the file holds one, or a Lab picture's."""
    if image.mode == "CMYK" and "icc_profile" not in image.info:
        return image.convert("RGB")
    try:
        source = (
            ImageCms.createProfile("LAB")
            if image.mode == "LAB"
            else ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        )
        shown = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    # a profile that is damaged or for other colours is left aside, as viewers do
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image.convert("RGB")
    return shown or image.convert("RGB")
