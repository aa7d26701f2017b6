"""From a prepared split to batches: order, augmentation, device.

Shapes: B batch, S side, L labels.
"""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from aaam_pipeline.core.params import Struct
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training.feed import Feed
from aaam_pipeline.training.team import Team


class Augment(Struct, frozen=True):
    """`train.augment` of params.yaml: how pictures are varied while training.

    `flip`: chance of a left-right mirror. `zoom`: a window between 1 - zoom and 1 of the side is shown, anywhere in the
    picture. `light`: contrast and brightness vary by up to this share.
    """

    flip: Annotated[float, Meta(ge=0, le=1)] = 0.5
    zoom: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    light: Annotated[float, Meta(ge=0, lt=1)] = 0.2


class Batch(NamedTuple):
    """Pictures ready for the network, float32 (B, 3, S, S), and their 0/1 targets, float32 (B, L).

    `of`: the size of the whole batch, of which other processes may have the rest.
    """

    images_B3SS: Tensor
    targets_BL: Tensor
    of: int


def shuffled(
    feed: Feed,
    images: int,
    preprocess: Preprocess,
    augment: Augment,
    batch_size: int,
    seed: int,
    team: Team,
    done: int = 0,
) -> Iterator[Batch]:
    """Yield this process's part of one epoch of augmented batches, in an order that `seed` alone decides.

    The first `done` batches are passed over. A last batch with less than two pictures for every process is left out:
    batch norm cannot train on a single one.
    """
    order = np.random.default_rng(derive(seed, "order")).permutation(images)
    starts = [start for start in range(0, images, batch_size) if images - start >= 2 * team.size or start == 0][done:]
    parts = [np.sort(order[start : start + batch_size]) for start in starts]
    for start, part, (pixels, targets_BL) in zip(starts, parts, feed(map(team.share, parts)), strict=True):
        generator = torch.Generator().manual_seed(derive(seed, "augment", start))
        # drawn for the whole batch, whoever has its pictures
        luck_B6 = team.share(torch.rand((len(part), 6), generator=generator))
        images_B3SS = vary(preprocess.normalise(pixels), augment, luck_B6.to(team.device))
        yield Batch(images_B3SS, targets_BL, len(part))


def vary(images_B3SS: Tensor, augment: Augment, luck_B6: Tensor) -> Tensor:
    """Return the pictures mirrored, zoomed, shifted and re-lit, each by its own six numbers in [0, 1)."""
    count, device = len(images_B3SS), images_B3SS.device
    scale_B = 1 - augment.zoom * luck_B6[:, 0]
    room_B2 = (1 - scale_B)[:, None] * (2 * luck_B6[:, 1:3] - 1)
    mirror_B = torch.where(luck_B6[:, 3] < augment.flip, -1.0, 1.0)
    theta_B23 = torch.zeros(count, 2, 3, device=device)
    theta_B23[:, 0, 0] = scale_B * mirror_B
    theta_B23[:, 1, 1] = scale_B
    theta_B23[:, :, 2] = room_B2
    grid = affine_grid(theta_B23, list(images_B3SS.shape), align_corners=False)
    moved_B3SS = grid_sample(images_B3SS, grid, padding_mode="reflection", align_corners=False)
    contrast_B = 1 + augment.light * (2 * luck_B6[:, 4] - 1)
    brightness_B = augment.light * (2 * luck_B6[:, 5] - 1)
    lit_B3SS = moved_B3SS * contrast_B[:, None, None, None] + brightness_B[:, None, None, None]
    return lit_B3SS.contiguous(memory_format=torch.channels_last)
