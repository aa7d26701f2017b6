"""How prepared pictures reach the device that trains: held there whole, or read ahead of it.

Shapes: N images of a split, B rows asked for, S side, L labels.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aaam_pipeline.datasets.prepared import Split

AHEAD = 3
# of a GPU's free memory: the rest is for the network, its gradients and its activations
MOST_OF_MEMORY = 0.5

Rows = NDArray[np.integer]
Pair = tuple[Tensor, Tensor]


class Feed(Protocol):
    """Yields, for each array of rows, their pixels, uint8 (B, S, S, 3), and targets, float32 (B, L), on the device."""

    def __call__(self, batches: Iterable[Rows]) -> Iterator[Pair]:
        """Read the rows of each batch in turn."""


def choose(split: Split, device: torch.device) -> Feed:
    """Return the fastest feed that fits: a GPU holds the pictures if half of its free memory is enough."""
    if device.type != "cuda":
        return Host(split)
    free, _ = torch.cuda.mem_get_info(device)
    return Resident(split, device) if split.pixels_NSS3.nbytes <= MOST_OF_MEMORY * free else ReadAhead(split, device)


class Host:
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


class Resident:
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


class ReadAhead:
    """Reads the next batches in a thread, into page-locked memory, from where the GPU copies while it computes."""

    def __init__(self, split: Split, device: torch.device) -> None:
        self.split = split
        self.device = device
        self.pinned = device.type == "cuda"

    def __call__(self, batches: Iterable[Rows]) -> Iterator[Pair]:
        """Read the rows of each batch in turn, a few batches ahead of what was asked for."""
        remaining = iter(batches)
        with ThreadPoolExecutor(1) as reader:
            coming: list[Future[Pair]] = [reader.submit(self._read, rows) for rows in islice(remaining, AHEAD)]
            while coming:
                pixels, targets = coming.pop(0).result()
                coming += [reader.submit(self._read, rows) for rows in islice(remaining, 1)]
                yield pixels.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True).float()

    def _read(self, rows: Rows) -> Pair:
        pixels, targets = torch.from_numpy(self.split.pixels_NSS3[rows]), torch.from_numpy(self.split.targets_NL[rows])
        return (pixels.pin_memory(), targets.pin_memory()) if self.pinned else (pixels, targets)
