"""Open the picture in a file's bytes, safely; whatever is wrong with the file is an `ImageError`.

This module never loads torch: decoding processes import it.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import AvifImagePlugin, Image, UnidentifiedImageError

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging import MAX_PIXELS, colour, formats, tiff

HEIC_MISSING = "HEIC needs an extra: pip install 'aaam-pipe[heic]'"
TILE_WIDTH, TILE_HEIGHT = 322, 323
_QUIET: tuple[Any, ...] = ("ignore", None, Warning, re.compile(r"(PIL|pillow_heif)\."), 0)
# several pictures are decoded at once: threads for each of them would only get in each other's way
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


@contextmanager
def opened(content: bytes, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open the picture in a file's bytes; decode it in the block, where every failure becomes an `ImageError`.

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
        yield image
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
    kind = formats.identify(content)
    if kind is None:
        raise ImageError("not_an_image", "no known image format")
    if not kind.plugin:
        raise ImageError("unsupported", f"{kind.name} is not supported")
    if kind.plugin == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            raise ImageError("unsupported", HEIC_MISSING) from None
        pillow_heif.register_heif_opener()
    elif kind.plugin == "TIFF":
        if maker := tiff.raw_kind(content):
            raise ImageError("unsupported", f"a raw file ({maker}) is not supported")
        content = tiff.with_whole_picture_first(content)
    image = Image.open(io.BytesIO(content), formats=(kind.plugin,))
    colour.note_profile(image, content)
    return image


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
