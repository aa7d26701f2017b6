"""How prepared pictures reach the device that trains, and the batches of an epoch, which are augmented there.

Shapes: N images of a split (or random numbers), B rows of a batch, S side, L labels.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Annotated, NamedTuple

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from aaam_pipeline.core.params import Struct
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.datasets.prepared import Split
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training.distributed import DistributedContext

NOISE, MORE_NOISE = 6, 2
"""Random numbers that `augment` takes for a picture, and those for `aspect` and `shrink`."""
# pictures of a batch that are shrunk to one size go through it together
SIZES = 8
PREFETCH = 3
# of a GPU's free memory: the rest is for the network, its gradients and its activations
MEMORY_SHARE = 0.5

Rows = NDArray[np.integer]
Pair = tuple[Tensor, Tensor]
Loader = Callable[[Iterable[Rows]], Iterator[Pair]]
"""Yields, for each array of rows, their pixels, uint8 (B, S, S, 3), and targets, float32 (B, L), on the device."""


def make_loader(split: Split, device: torch.device) -> Loader:
    """Return the fastest loader that fits: a GPU holds the pictures if half of its free memory is enough."""
    if device.type != "cuda":
        return HostLoader(split)
    free, _ = torch.cuda.mem_get_info(device)
    fits = split.pixels_NSS3.nbytes <= MEMORY_SHARE * free
    return DeviceLoader(split, device) if fits else PrefetchLoader(split, device)


class HostLoader:
    """Reads from the (memory-mapped) arrays when asked: the CPU that would read ahead is busy training."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __call__(self, batches: Iterable[Rows]) -> Iterator[Pair]:
        """Read the rows of each batch in turn."""
        for rows in batches:
            yield (
                torch.from_numpy(self.split.pixels_NSS3[rows]),
                torch.from_numpy(self.split.targets_NL[rows]).float(),
            )


class DeviceLoader:
    """Holds all pixels and targets in the device's memory: a batch is one gather there, and no copy."""

    def __init__(self, split: Split, device: torch.device) -> None:
        self.device = device
        self.pixels_NSS3 = torch.empty(split.pixels_NSS3.shape, dtype=torch.uint8, device=device)
        for start in range(0, len(split.pixels_NSS3), 4096):
            part = torch.tensor(split.pixels_NSS3[start : start + 4096])
            self.pixels_NSS3[start : start + 4096].copy_(part)
        self.targets_NL = torch.tensor(split.targets_NL, device=device)

    def __call__(self, batches: Iterable[Rows]) -> Iterator[Pair]:
        """Gather the rows of each batch in turn."""
        for rows in batches:
            rows_B = torch.from_numpy(rows).to(self.device)
            yield self.pixels_NSS3[rows_B], self.targets_NL[rows_B].float()


class PrefetchLoader:
    """Reads the next batches in a thread, into page-locked memory, from where the GPU copies while it computes."""

    def __init__(self, split: Split, device: torch.device) -> None:
        self.split = split
        self.device = device
        self.pinned = device.type == "cuda"

    def __call__(self, batches: Iterable[Rows]) -> Iterator[Pair]:
        """Read the rows of each batch in turn, a few batches ahead of what was asked for."""
        remaining = iter(batches)
        with ThreadPoolExecutor(1) as reader:
            coming: list[Future[Pair]] = [reader.submit(self._read, rows) for rows in islice(remaining, PREFETCH)]
            while coming:
                pixels, targets = coming.pop(0).result()
                coming += [reader.submit(self._read, rows) for rows in islice(remaining, 1)]
                yield pixels.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True).float()

    def _read(self, rows: Rows) -> Pair:
        pixels, targets = torch.from_numpy(self.split.pixels_NSS3[rows]), torch.from_numpy(self.split.targets_NL[rows])
        return (pixels.pin_memory(), targets.pin_memory()) if self.pinned else (pixels, targets)


class Augment(Struct, frozen=True):
    """`train.augment` of params.yaml: how pictures are varied while training.

    `flip`: probability of a left-right mirror. `zoom`: a window between 1 - zoom and 1 of the side is shown, anywhere
    in the picture. `light`: contrast and brightness vary by up to this share. `aspect`: the window is wider or higher
    than a square by up to this share, and never larger than the picture. `shrink`: the picture has between 1 - shrink
    and 1 of its pixels a side, so that sharp and blurred ones look alike.
    """

    flip: Annotated[float, Meta(ge=0, le=1)] = 0.5
    zoom: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    light: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    aspect: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    shrink: Annotated[float, Meta(ge=0, lt=1)] = 0.0

    def draw(self, pictures: int, generator: torch.Generator) -> Tensor:
        """Draw the random numbers for a batch, (B, 6), or (B, 8) where `aspect` or `shrink` needs them."""
        noise_B6 = torch.rand((pictures, NOISE), generator=generator)
        if not (self.aspect or self.shrink):
            return noise_B6
        return torch.cat([noise_B6, torch.rand((pictures, MORE_NOISE), generator=generator)], 1)


def augment(images_B3SS: Tensor, params: Augment, noise_BN: Tensor) -> Tensor:
    """Return the pictures shrunk, mirrored, zoomed, shifted and re-lit, each by its own random numbers in [0, 1)."""
    count, device = len(images_B3SS), images_B3SS.device
    if params.shrink:
        images_B3SS = _shrunk(images_B3SS, params.shrink, noise_BN[:, 7])
    scale_B2 = (1 - params.zoom * noise_BN[:, :1]).expand(-1, 2)
    if params.aspect:
        # from 1 / (1 + aspect) to 1 + aspect, width by height
        stretch_B = (1 + params.aspect) ** (noise_BN[:, 6] - 0.5)
        scale_B2 = (scale_B2 * torch.stack([stretch_B, 1 / stretch_B], 1)).clamp(max=1)
    shift_B2 = (1 - scale_B2) * (2 * noise_BN[:, 1:3] - 1)
    mirror_B = torch.where(noise_BN[:, 3] < params.flip, -1.0, 1.0)
    theta_B23 = torch.zeros(count, 2, 3, device=device)
    theta_B23[:, 0, 0] = scale_B2[:, 0] * mirror_B
    theta_B23[:, 1, 1] = scale_B2[:, 1]
    theta_B23[:, :, 2] = shift_B2
    grid = affine_grid(theta_B23, list(images_B3SS.shape), align_corners=False)
    moved_B3SS = grid_sample(images_B3SS, grid, padding_mode="reflection", align_corners=False)
    contrast_B = 1 + params.light * (2 * noise_BN[:, 4] - 1)
    brightness_B = params.light * (2 * noise_BN[:, 5] - 1)
    lit_B3SS = moved_B3SS * contrast_B[:, None, None, None] + brightness_B[:, None, None, None]
    return lit_B3SS.contiguous(memory_format=torch.channels_last)


def _shrunk(images_B3SS: Tensor, share: float, noise_B: Tensor) -> Tensor:
    """Return the pictures as they look after they were stored with fewer pixels, one of `SIZES` sides each."""
    side, shrunk_B3SS = images_B3SS.shape[-1], images_B3SS.clone()
    step_B = (noise_B * SIZES).long()
    for step in range(1, SIZES):
        rows_B = (step_B == step).nonzero()[:, 0]
        small = round(side * (1 - share * step / (SIZES - 1)))
        if len(rows_B) and small < side:
            fewer = interpolate(images_B3SS[rows_B], (small, small), mode="bilinear", antialias=True)
            shrunk_B3SS[rows_B] = interpolate(fewer, (side, side), mode="bilinear")
    return shrunk_B3SS


class Batch(NamedTuple):
    """Pictures ready for the network, float32 (B, 3, S, S), and their 0/1 targets, float32 (B, L).

    `global_size`: images of the whole batch, of which other processes may have the rest.
    """

    images_B3SS: Tensor
    targets_BL: Tensor
    global_size: int


def augmented_batches(
    loader: Loader,
    images: int,
    preprocess: Preprocess,
    params: Augment,
    batch_size: int,
    seed: int,
    context: DistributedContext,
    skip: int = 0,
) -> Iterator[Batch]:
    """Yield this process's part of the augmented batches of an epoch, shuffled in an order that `seed` alone decides.

    The first `skip` batches are left out; so is a last batch with less than two pictures for every process, since batch
    norm cannot train on a single one.
    """
    order = np.random.default_rng(derive(seed, "order")).permutation(images)
    smallest = 2 * context.world_size
    starts = [start for start in range(0, images, batch_size) if images - start >= smallest or start == 0][skip:]
    batches = [np.sort(order[start : start + batch_size]) for start in starts]
    for start, rows, (pixels, targets_BL) in zip(starts, batches, loader(map(context.shard, batches)), strict=True):
        generator = torch.Generator().manual_seed(derive(seed, "augment", start))
        # drawn for the whole batch, whichever process has its pictures
        noise_BN = context.shard(params.draw(len(rows), generator)).to(context.device)
        yield Batch(augment(preprocess.normalise(pixels), params, noise_BN), targets_BL, len(rows))
