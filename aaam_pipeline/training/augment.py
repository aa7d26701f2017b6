"""Augmentation of whole batches on the device that trains.

Shapes: B batch, S side.
"""

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from aaam_pipeline.core.params import Struct

NOISE = 6
"""Random numbers that `augment` takes for a picture."""


class Augment(Struct, frozen=True):
    """`train.augment` of params.yaml: how pictures are varied while training.

    `flip`: probability of a left-right mirror. `zoom`: a window between 1 - zoom and 1 of the side is shown, anywhere
    in the picture. `light`: contrast and brightness vary by up to this share.
    """

    flip: Annotated[float, Meta(ge=0, le=1)] = 0.5
    zoom: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    light: Annotated[float, Meta(ge=0, lt=1)] = 0.2


def augment(images_B3SS: Tensor, params: Augment, noise_B6: Tensor) -> Tensor:
    """Return the pictures mirrored, zoomed, shifted and re-lit, each by its own six random numbers in [0, 1)."""
    count, device = len(images_B3SS), images_B3SS.device
    scale_B = 1 - params.zoom * noise_B6[:, 0]
    shift_B2 = (1 - scale_B)[:, None] * (2 * noise_B6[:, 1:3] - 1)
    mirror_B = torch.where(noise_B6[:, 3] < params.flip, -1.0, 1.0)
    theta_B23 = torch.zeros(count, 2, 3, device=device)
    theta_B23[:, 0, 0] = scale_B * mirror_B
    theta_B23[:, 1, 1] = scale_B
    theta_B23[:, :, 2] = shift_B2
    grid = affine_grid(theta_B23, list(images_B3SS.shape), align_corners=False)
    moved_B3SS = grid_sample(images_B3SS, grid, padding_mode="reflection", align_corners=False)
    contrast_B = 1 + params.light * (2 * noise_B6[:, 4] - 1)
    brightness_B = params.light * (2 * noise_B6[:, 5] - 1)
    lit_B3SS = moved_B3SS * contrast_B[:, None, None, None] + brightness_B[:, None, None, None]
    return lit_B3SS.contiguous(memory_format=torch.channels_last)
