"""How many of the nearest images an approximate search finds: recall@10, of images that are in the index themselves.

Shapes: Q queries, B vectors of a block, N images, D embedding, K found.

A query is an image's own vector, and the image itself does not count. What is found counts if it is as near as the
tenth nearest, so that equal photographs are worth the same.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 10
QUERIES = 200
BLOCK = 65536
# sums of the same products in another order differ by less
ROUNDING = 1e-5


def sample(count: int) -> NDArray[np.int64]:
    """Return the ids of the images that are asked about, in random order."""
    return np.random.default_rng(0).choice(count, min(QUERIES, count), replace=False)


def tenth_nearest(queries_QD: NDArray[np.float32], blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return for each query the cosine of its tenth nearest image besides itself (Q,), by comparing with all (B, D)."""
    best_QK = np.full((len(queries_QD), NEIGHBOURS + 1), -np.inf, np.float32)
    for block_BD in blocks:
        both = np.concatenate([best_QK, queries_QD @ block_BD.T], axis=1)
        best_QK = np.partition(both, -NEIGHBOURS - 1, axis=1)[:, -NEIGHBOURS - 1 :]
    tenth_Q: NDArray[np.float32] = best_QK.min(axis=1)
    return tenth_Q


def recall(cosines_QK: NDArray[np.floating], tenth_Q: NDArray[np.floating]) -> float:
    """Return the share of ten neighbours that was found; of the 11 images with these cosines one is the query."""
    found_Q = (cosines_QK >= tenth_Q[:, None] - ROUNDING).sum(axis=1) - 1
    return float((found_Q.clip(0, NEIGHBOURS) / NEIGHBOURS).mean())
