"""The ONE way from a file's bytes to the network's input, used by prepare, evaluation and annotation alike.

Shapes: B batch, S side. Steps: decode as a viewer would show it (orientation, palette, alpha, 16 bits) -> squash to
S x S with antialiasing (nothing at the borders is lost, since every object counts) -> normalise by mean and std.
"""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from aaam_pipeline.core.params import Struct
from aaam_pipeline.imaging.decoding import MAX_PIXELS, squash
from aaam_pipeline.imaging.exif import Taken

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MAX_PIXELS", "Decoded", "Preprocess"]

Triple = tuple[float, float, float]


class Decoded(NamedTuple):
    """A picture ready to be batched: `pixels_SS3` uint8, and the original's width and height in pixels as shown.

    `taken`: when the camera took it; None: not noted.
    """

    pixels_SS3: NDArray[np.uint8]
    width: int
    height: int
    taken: Taken | None = None


class Preprocess(Struct, frozen=True):
    """`preprocess` of params.yaml: the side S in pixels, and ImageNet's channel statistics by default."""

    size: Annotated[int, Meta(ge=16, le=1024)] = 224
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)

    def decode(self, content: bytes, max_pixels: int = MAX_PIXELS) -> Decoded:
        """Return the picture in a file's bytes, squashed to S x S; see `decoding.squash`.

        Raises:
            ImageError: the bytes are not a whole image of a known format; its `kind` says which way.
        """
        image, width, height, taken = squash(content, self.size, max_pixels)
        return Decoded(np.asarray(image, dtype=np.uint8), width, height, taken)

    def normalise(self, pixels_BSS3: "Tensor") -> "Tensor":
        """Return the network's input, float32 (B, 3, S, S) in channels_last order, of uint8 pixels (B, S, S, 3)."""
        # decoding processes load this module too, and must not wait for torch
        import torch

        mean = torch.tensor(self.mean, device=pixels_BSS3.device)
        std = torch.tensor(self.std, device=pixels_BSS3.device)
        return pixels_BSS3.float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)
