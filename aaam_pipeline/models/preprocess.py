"""The ONE way from a file's bytes to the network's input, used by prepare, evaluation and annotation alike.

Shapes: B batch, S side. Steps: decode as a viewer would show it (orientation, palette, alpha, 16 bits) -> squash to
S x S with antialiasing (nothing at the borders is lost, since every object counts) -> normalise by mean and std.
"""

import io
import warnings
from typing import Annotated, NamedTuple

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.core.params import Struct

# about 179 megapixels, Pillow's own limit: above it a small file could fill the memory
MAX_PIXELS = 178_956_970
Triple = tuple[float, float, float]


class Decoded(NamedTuple):
    """A picture ready to be batched: `pixels_SS3` uint8, and the original's width and height in pixels as shown."""

    pixels_SS3: NDArray[np.uint8]
    width: int
    height: int


class Preprocess(Struct, frozen=True):
    """`preprocess` of params.yaml: the side S in pixels, and ImageNet's channel statistics by default."""

    size: Annotated[int, Meta(ge=16, le=1024)] = 224
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)

    def decode(self, content: bytes) -> Decoded:
        """Return the picture in a file's bytes, squashed to S x S.

        Raises:
            ImageError: the bytes are not a whole image of a known format; its `kind` says which way.
        """
        image = to_rgb(content)
        squashed = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return Decoded(np.asarray(squashed, dtype=np.uint8), *image.size)

    def normalise(self, pixels_BSS3: Tensor) -> Tensor:
        """Return the network's input, float32 (B, 3, S, S) in channels_last order, of uint8 pixels (B, S, S, 3)."""
        mean = torch.tensor(self.mean, device=pixels_BSS3.device)
        std = torch.tensor(self.std, device=pixels_BSS3.device)
        return pixels_BSS3.float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)


def to_rgb(content: bytes) -> Image.Image:
    """Decode a file's bytes to RGB, as a viewer would show them.

    EXIF orientation is applied, transparency is shown on white, 16 bits a channel become 8.

    Raises:
        ImageError: with `kind` empty_file, not_an_image, too_large or truncated.
    """
    if not content:
        raise ImageError("empty_file", "the file has no bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content))
            if image.width * image.height > MAX_PIXELS:
                raise ImageError("too_large", f"{image.width} x {image.height} pixels are over the limit")
            image.load()
            return _flatten(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise ImageError("not_an_image", "no known image format") from None
    except Image.DecompressionBombError as error:
        raise ImageError("too_large", str(error)) from None
    # a damaged file can raise nearly anything in Pillow's format plugins: all of it means the same to a user
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise ImageError("truncated", f"damaged or cut off: {error}") from None


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_deep(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Return a 16- or 32-bit grey picture as RGB; Pillow's own conversion would clip everything above 255 to white."""
    deep = np.asarray(image, dtype=np.float64)
    top = 65535.0 if image.mode.startswith("I") and deep.max(initial=0) > 255 else max(deep.max(initial=0), 255.0)
    return Image.fromarray((deep.clip(0, top) * (255 / top)).astype(np.uint8), "L").convert("RGB")
