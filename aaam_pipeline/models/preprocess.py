"""The ONE way from a file's bytes to the network's input, used by prepare, evaluation and annotation alike.

Shapes: B batch, S side. Steps: decode as a viewer would show it (orientation, palette, alpha, 16 bits) -> squash to
S x S with antialiasing (both: `imaging.resizing.resize_square`) -> normalise by mean and std.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from aaam_pipeline.core.params import Struct

if TYPE_CHECKING:
    from torch import Tensor

Triple = tuple[float, float, float]


class Preprocess(Struct, frozen=True):
    """`preprocess` of params.yaml: the side S in pixels, ImageNet's channel statistics by default, how pixels are made.

    Of a timm backbone, what is left out is what it was trained with: `defaults.read_preprocess`.
    """

    size: Annotated[int, Meta(ge=16, le=1024)] = 224
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def normalise(self, pixels_BSS3: "Tensor") -> "Tensor":
        """Return the network's input, float32 (B, 3, S, S) in channels_last order, of uint8 pixels (B, S, S, 3)."""
        # decoding processes load this module too, and must not wait for torch
        import torch

        mean = torch.tensor(self.mean, device=pixels_BSS3.device)
        std = torch.tensor(self.std, device=pixels_BSS3.device)
        return pixels_BSS3.float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)


def leaves_to_backbone(block: Mapping[str, Any]) -> bool:
    """Tell whether a data set's block leaves a part of `preprocess` to the backbone that it names."""
    model, given = block.get("model"), block.get("preprocess") or {}
    name = model.get("backbone") if isinstance(model, Mapping) else None
    complete = isinstance(given, Mapping) and set(Preprocess.__struct_fields__) <= set(given)
    return isinstance(name, str) and name.startswith("timm/") and not complete
