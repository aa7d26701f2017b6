"""Open the picture in a file's bytes, safely; whatever is wrong with the file is an `ImageError`.

This module never loads torch: decoding processes import it.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import AvifImagePlugin, Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.core.extras import how_to_install
from aaam_pipeline.imaging import MAX_PIXELS, colour, formats, profiles, tiff, variants

HEIC_MISSING = f"HEIC needs an extra: {how_to_install('heic')}"
# of a JPEG that is decoded at an eighth of its size, and so takes little memory, so many times more pixels are allowed;
# its shorter side is one that is long for every size wanted
JPEG_FACTOR, LEAST_SIDE = 4, 8192
CUT_OFF = re.compile(r"truncat|incomplete|cut off|not enough|end of|EOF|only got", re.IGNORECASE)
TILE_WIDTH, TILE_HEIGHT = 322, 323
_QUIET: tuple[Any, ...] = ("ignore", None, Warning, re.compile(r"(PIL|pi_heif)\."), 0)
# several pictures are decoded at once: threads for each of them would only get in each other's way
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
# profiles and texts in a PNG may be so large: Pillow's own limit is a megabyte, and the whole picture fails at it
PngImagePlugin.MAX_TEXT_CHUNK = profiles.LARGEST_PROFILE
# 16 bits, the highest byte first, white is zero: Pillow's table has it for the other order of bytes only
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))


@contextmanager
def opened(content: bytes, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open the picture in a file's bytes; decode it in the block, where every failure becomes an `ImageError`.

    Raises:
        ImageError: with `kind` empty_file, not_an_image, unsupported, too_large, truncated or damaged.
    """
    if not content:
        raise ImageError("empty_file", "the file has no bytes")
    kind = formats.identify(content)
    if kind is None:
        raise ImageError("not_an_image", "no known image format")
    if not kind.plugin:
        raise ImageError("unsupported", f"{kind.name} is not supported")
    _silence_pillow()
    # Pillow has a limit of its own, and stops at twice this number
    if Image.MAX_IMAGE_PIXELS is not None and JPEG_FACTOR * max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = JPEG_FACTOR * max_pixels // 2 + 1
    try:
        image = _open(content, kind.plugin)
        _check_size(image, max_pixels)
        yield image
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        raise _too_large(pixels[0] if pixels else "too many", max_pixels) from None
    except MemoryError:
        raise ImageError("too_large", "not enough memory to decode it") from None
    # a damaged file can raise anything in Pillow's format plugins
    except Exception as error:
        said = "" if isinstance(error, UnidentifiedImageError) else str(error)
        if unread := variants.unsupported_kind(content, kind.plugin, said):
            raise ImageError("unsupported", f"{unread} is not supported") from None
        said = said or "its header cannot be read"
        if CUT_OFF.search(said) or variants.is_cut_off(content, kind.plugin):
            raise ImageError("truncated", f"{kind.name} that is cut off: {said}") from None
        raise ImageError("damaged", f"damaged {kind.name}: {said}") from None


def _silence_pillow() -> None:
    """Keep Pillow's warnings about damaged files off the screen: what matters of them becomes an `ImageError`.

    `warnings.catch_warnings` swaps the filters of the whole process: threads that enter and leave it by turns end with
    the wrong ones. So there is one filter, added when it is not there.
    """
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=_QUIET[3].pattern)


def _open(content: bytes, plugin: str) -> Image.Image:
    """Read the header."""
    if plugin == "HEIF":
        try:
            import pi_heif
        except ImportError:
            raise ImageError("unsupported", HEIC_MISSING) from None
        pi_heif.register_heif_opener()
    elif plugin == "TIFF":
        if maker := tiff.raw_kind(content):
            raise ImageError("unsupported", f"a raw file ({maker}) is not supported")
        content = tiff.with_whole_picture_first(content)
    image = Image.open(io.BytesIO(content), formats=(plugin,))
    colour.note_profile(image, content)
    return image


def _check_size(image: Image.Image, max_pixels: int) -> None:
    """Refuse by the header what would fill the memory."""
    sides = [image.size]
    tags = getattr(image, "tag_v2", {})
    if TILE_WIDTH in tags and TILE_HEIGHT in tags:
        # a TIFF of few pixels can be one corner of a tile that is unpacked whole
        sides.append((int(tags[TILE_WIDTH]), int(tags[TILE_HEIGHT])))
    # a progressive JPEG is unpacked whole, too
    is_reduced = image.format in ("JPEG", "MPO") and "progressive" not in image.info and min(image.size) >= LEAST_SIDE
    for width, height in sides:
        if width * height > max_pixels * (JPEG_FACTOR if is_reduced else 1):
            raise _too_large(f"{width} x {height}", max_pixels)


def _too_large(pixels: str, max_pixels: int) -> ImageError:
    return ImageError("too_large", f"{pixels} pixels, over the limit of {max_pixels}; --max-pixels raises it")
