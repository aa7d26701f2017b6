"""Distances between images by their features, in blocks that fit into memory.

Shapes: N training images, B images of a block, D features, L labels.

The training features are used where they lie, memory-mapped or not; only their lengths are kept. One block of
distances is at most `CELLS` numbers, 256 MB.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline.baselines.base import BLOCK, Features

CELLS = 2**26
SMALLEST = 1e-12


class ReferenceSet:
    """The training images, to measure distances from."""

    def __init__(self, features_ND: Features, unit: bool) -> None:
        """Keep features; `unit`: measure between the features scaled to length 1, else as they are."""
        self.features_ND = features_ND
        self.unit = unit
        blocks = (features_ND[first : first + BLOCK] for first in range(0, len(features_ND), BLOCK))
        self._squared_N = np.concatenate([np.einsum("nd,nd->n", block, block) for block in blocks])

    def blocks(self, features_BD: Features) -> Iterator[NDArray[np.float32]]:
        """Yield the squared Euclidean distances of some images after the others to all training images, (b, N)."""
        rows = max(CELLS // len(self.features_ND), 1)
        for first in range(0, len(features_BD), rows):
            yield self._squared(features_BD[first : first + rows])

    def _squared(self, features_BD: Features) -> NDArray[np.float32]:
        own_B1 = np.einsum("bd,bd->b", features_BD, features_BD)[:, None]
        squared_BN: NDArray[np.float32] = features_BD @ self.features_ND.T
        if self.unit:
            squared_BN /= np.sqrt(np.maximum(own_B1, SMALLEST))
            squared_BN /= np.sqrt(np.maximum(self._squared_N, SMALLEST))
            np.subtract(2, 2 * squared_BN, out=squared_BN)
        else:
            squared_BN *= -2
            squared_BN += own_B1
            squared_BN += self._squared_N
        # rounding may have made it less than nothing
        return np.maximum(squared_BN, 0, out=squared_BN)


def nearest_mask(squared_BN: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
    """Return which training images are among the k nearest of each image, (B, N).

    All that are as far away as the k-th belong to them, so that their order in the training set does not matter. With
    k >= N they are all images.
    """
    if k >= squared_BN.shape[1]:
        return np.ones(squared_BN.shape, np.bool_)
    # torch's works on all cores; NumPy's partition rearranges a copy of all distances, on one
    nearest_Bk = torch.from_numpy(squared_BN).topk(k, largest=False, sorted=False).values
    return np.asarray(squared_BN <= nearest_Bk.amax(1, keepdim=True).numpy())
