"""Decode and scale a picture in one step: to a square of S x S (the network's input), or a thumbnail in its own shape.

Pictures of any mode become RGB, as a viewer would show them: transparency on white, inks and deep grey converted.

Large pictures are decoded at reduced scale: a JPEG decoder that makes 1/2, 1/4 or 1/8 of the size straight from the
DCT coefficients (Pillow's `draft`) saves most of the work. Small ones take the plain path, pixel by pixel the same as
if there were no other.

Shapes: S side.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.Image import Resampling, Transpose

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging import MAX_PIXELS, Interpolation, colour, deep, exif, incomplete, profiles
from aaam_pipeline.imaging.decoding import opened
from aaam_pipeline.imaging.exif import CapturedAt

# A picture is never decoded smaller than this many times the size wanted in either direction. At 3 the scores of an
# ImageNet model differ from the full decode's by less than 0.01 on average even in its best class; at 2 by up to 0.02.
OVERSAMPLING = 3
# modes in which the mean of two pixels is the colour between them
AVERAGED = frozenset({"L", "RGB", "CMYK", "LA", "RGBA"})
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
# pixels that become RGB at once
STRIP = 1 << 20
T = TypeVar("T")
Size = tuple[int, int]
Box = tuple[float, float, float, float]
FILTERS: dict[Interpolation, Resampling] = {"bilinear": Resampling.BILINEAR, "bicubic": Resampling.BICUBIC}


class DecodedImage(NamedTuple):
    """A picture as the network sees it, uint8, and the original's width and height in pixels as shown.

    `captured_at`: when the camera took it; None: not noted.
    """

    pixels_SS3: NDArray[np.uint8]
    width: int
    height: int
    captured_at: CapturedAt | None = None


def resize_square(
    content: bytes,
    size: int,
    max_pixels: int = MAX_PIXELS,
    accept_truncated: bool = False,
    interpolation: Interpolation = "bilinear",
) -> DecodedImage:
    """Decode a file's bytes and squash the picture to S x S: nothing at the borders is lost, every object counts.

    EXIF orientation is applied, transparency is shown on white, 16 bits a channel become 8, of several frames or pages
    the first is taken. With `accept_truncated` a picture may lack rows, which are grey.

    Raises:
        ImageError: with `kind` empty_file, not_an_image, unsupported, too_large, truncated or damaged.
    """

    def square(image: Image.Image) -> DecodedImage:
        small, width, height = resize(image, lambda width, height: (size, size), FILTERS[interpolation])
        return DecodedImage(np.asarray(small, dtype=np.uint8), width, height, exif.captured_at(image))

    return _decoded(content, max_pixels, accept_truncated, square)


def thumbnail(content: bytes, longest: int, enlarge: bool = False) -> Image.Image:
    """Decode a file's bytes to RGB, as a viewer would show them; the longer side is `longest` pixels.

    Smaller pictures keep their size, unless `enlarge` is set. Of a picture that lacks rows, there is what there is.

    Raises:
        ImageError: the bytes are no image of a known format.
    """

    def fit(width: int, height: int) -> Size:
        scale = longest / max(width, height)
        if scale > 1 and not enlarge:
            return width, height
        return max(1, round(width * scale)), max(1, round(height * scale))

    return _decoded(content, MAX_PIXELS, True, lambda image: resize(image, fit)[0])


def _decoded(content: bytes, max_pixels: int, accept_truncated: bool, use: Callable[[Image.Image], T]) -> T:
    """Return what `use` makes of the opened picture."""
    try:
        with opened(content, max_pixels) as image:
            return use(image)
    except ImageError as error:
        if error.kind not in incomplete.MENDABLE:
            raise
        return incomplete.decode_incomplete(content, max_pixels, accept_truncated, error, use)


def resize(
    image: Image.Image, fit: Callable[[int, int], Size], resampling: Resampling = Resampling.BILINEAR
) -> tuple[Image.Image, int, int]:
    """Return an opened picture in RGB at the size `fit(width, height)`, and the full width and height as shown."""
    width, height = image.size
    wanted = fit(width, height)
    needed = OVERSAMPLING * wanted[0], OVERSAMPLING * wanted[1]
    box: Box | None = None
    large = width >= 2 * needed[0] and height >= 2 * needed[1]
    if large and image.format in ("JPEG", "MPO"):
        _, box = image.draft(None, needed) or (None, None)
        image.load()
    else:
        image.load()
        width, height = image.size
    orientation = exif.orientation(image)
    turn = TURNS.get(orientation)
    if orientation in SIDEWAYS:
        width, height = height, width
    # inks and Lab have become sRGB by then
    profile = None if image.mode in ("CMYK", "LAB") else image.info.get(colour.PROFILE)
    if deep.is_deep(image):
        image = deep.to_grey(image)
    if not large:
        shown = to_rgb(image if turn is None else image.transpose(turn))
        return colour.to_srgb(shown.resize(fit(width, height), resampling), profile), width, height
    image, box = _reduce(image, box or (0, 0, *image.size), needed)
    small = colour.to_srgb(to_rgb(image).resize(wanted, resampling, box), profile)
    # turning a small picture costs nothing, and the box needs no turning
    return small if turn is None else small.transpose(turn), width, height


def _reduce(image: Image.Image, box: Box, needed: Size) -> tuple[Image.Image, Box]:
    """Shrink by a whole number, averaging blocks, while `box` stays as large as `needed` or larger."""
    factor = int(min(box[2] // needed[0], box[3] // needed[1]))
    averaged = image.mode in AVERAGED and "transparency" not in image.info
    if factor < 2:
        return image if averaged else to_rgb(image), box
    # the last block may be a part of one: the box ends where the picture does
    end = (0, 0, box[2] / factor, box[3] / factor)
    if averaged:
        return image.reduce(factor), end
    shrunk = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    # in strips: what becomes RGB as a whole takes many times its memory
    rows = factor * max(1, STRIP // (image.width * factor))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        shrunk.paste(to_rgb(strip).reduce(factor), (0, top // factor))
    return shrunk, end


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the picture as RGB, 8 bits a channel."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if deep.is_deep(image):
        return deep.to_grey(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    if image.mode in ("CMYK", "LAB"):
        return _from_print(image)
    return image.convert("RGB")


def _from_print(image: Image.Image) -> Image.Image:
    """Return the RGB that inks stand for, by the profile of the press where the file holds one, or a Lab picture's."""
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _lab_to_rgb()) or image.convert("RGB")
    profile = image.info.get(colour.PROFILE)
    found = profiles.conversion(profile, "CMYK") if profile else None
    return found.apply(image) if found else image.convert("RGB")


@cache
def _lab_to_rgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
