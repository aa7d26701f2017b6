"""Grey pictures of more than 8 bits: which number is black and which is white, by the format, never by a guess.

A TIFF says whether its least value is black or white (PhotometricInterpretation), how its numbers are coded
(SampleFormat), and which of them are the ends (SMinSampleValue, SMaxSampleValue). The work is done in strips: a picture
of 100 megapixels takes no more memory than its own numbers and the 8 bits a pixel that come out.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aaam_pipeline.core.errors import ImageError

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT, LEAST, MOST = 258, 262, 339, 340, 341
WHITE_IS_ZERO, UNSIGNED, FLOAT = 0, 1, 3
# numbers in a strip
STRIP = 1 << 20


def is_deep(image: Image.Image) -> bool:
    """Return whether it is grey of 16 or 32 bits."""
    return image.mode.startswith(("I", "F"))


def to_grey(image: Image.Image) -> Image.Image:
    """Return a deep grey picture with 8 bits a pixel, from black to white; a colour that stands for nothing is white.

    Raises:
        ImageError: unsupported, if the format does not say which numbers are black and white.
    """
    black, white, is_unsigned = _range(image)
    clear = image.info.get("transparency")
    shown = Image.new("L", image.size)
    for box, strip in _strips(image):
        values = strip.view(np.uint32) if is_unsigned and strip.dtype == np.int32 else strip
        grey = _scaled(values, black, white)
        if isinstance(clear, int):
            grey[values == clear] = 255
        shown.paste(Image.fromarray(grey), box)
    return shown


def _strips(image: Image.Image) -> Iterator[tuple[tuple[int, int, int, int], NDArray[np.number]]]:
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        yield box, np.asarray(image.crop(box))


def _scaled(values: NDArray[np.number], black: float, white: float) -> NDArray[np.uint8]:
    wide = np.asarray(values, dtype=np.float64)
    if not np.isfinite(wide).all():
        # no number is no light
        wide = np.where(np.isfinite(wide), wide, black)
    low, high = min(black, white), max(black, white)
    part = (wide.clip(low, high) - low) * (255 / (high - low))
    return (part if black < white else 255 - part).astype(np.uint8)


def _range(image: Image.Image) -> tuple[float, float, bool]:
    """Return the numbers of black and white, and whether numbers of 32 bits are without a sign."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        if image.mode == "F":
            _check_floats(image)
            return 0, 1, False
        return 0, 65535, False
    kind, bits = _first(tags.get(SAMPLE_FORMAT)) or UNSIGNED, _first(tags.get(BITS_PER_SAMPLE)) or 16
    least, most = _first(tags.get(LEAST)), _first(tags.get(MOST))
    if most is not None and most > (least or 0):
        low, high = least or 0, most
    elif kind == FLOAT:
        _check_floats(image)
        low, high = 0, 1
    elif kind == UNSIGNED and bits <= 16:
        low, high = 0, 2**bits - 1
    else:
        sign = "" if kind == UNSIGNED else " with a sign"
        reason = f"whole numbers of {bits:.0f} bits{sign} without their range (SMinSampleValue, SMaxSampleValue)"
        raise ImageError("unsupported", f"{reason}: what is black or white is unknown")
    is_unsigned = kind == UNSIGNED
    return (high, low, is_unsigned) if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else (low, high, is_unsigned)


def _first(value: object) -> float | None:
    """Return a tag's number, the first of several; None: it is missing or no number."""
    first = value[0] if isinstance(value, tuple) and value else value
    try:
        number = float(first)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if np.isfinite(number) else None


def _check_floats(image: Image.Image) -> None:
    """Refuse floats that are not from 0 to 1, which is what they are without a range."""
    low = high = 0.0
    for _, strip in _strips(image):
        finite = strip[np.isfinite(strip)]
        low, high = float(finite.min(initial=low)), float(finite.max(initial=high))
    if low < 0 or high > 1:
        reason = f"floats from {low:g} to {high:g} without their range (SMinSampleValue, SMaxSampleValue)"
        raise ImageError("unsupported", f"{reason}: what is black or white is unknown")
