"""The nearest training images by Euclidean distance, exact, with FAISS.

Shapes: N training images, M images asked for, D features, K neighbours.
"""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.baselines.base import BLOCK, Features, blocks

TINY = float(np.finfo(np.float32).tiny)
Found = tuple[NDArray[np.int64], NDArray[np.float32]]


def to_unit(features_ND: Features) -> Features:
    """Return features scaled to length 1; those of length 0 stay."""
    lengths_N1 = np.linalg.norm(features_ND, axis=1, keepdims=True)
    return np.asarray(features_ND / np.maximum(lengths_N1, TINY), np.float32)


class Nearest:
    """An index over the training images; it copies the features, block by block."""

    def __init__(self, features_ND: Features, *, unit: bool) -> None:
        self._unit = unit
        self._index: Any = faiss.IndexFlatL2(features_ND.shape[1])
        for (features_BD,) in blocks(features_ND):
            self._index.add(self._prepare(features_BD))

    def search(self, features_MD: Features, count: int) -> Found:
        """Return ids and distances, (M, K), nearest first; K is N at most."""
        squares_MK, ids_MK = self._index.search(self._prepare(features_MD), min(count, self._index.ntotal))
        return ids_MK, np.sqrt(np.maximum(squares_MK, 0))

    def others(self, count: int) -> Found:
        """Return the training images' neighbours among the others, (N, K) as `search`; K is N - 1 at most."""
        count = min(count, self._index.ntotal - 1)
        ids, distances = [], []
        for first in range(0, self._index.ntotal, BLOCK):
            block_BD = self._index.reconstruct_n(first, min(BLOCK, self._index.ntotal - first))
            squares_BK, ids_BK = self._index.search(block_BD, count + 1)
            own_BK = ids_BK == np.arange(first, first + len(ids_BK))[:, None]
            # among more than K equal images an image may miss itself: then the last goes
            own_BK[~own_BK.any(1), -1] = True
            ids.append(ids_BK[~own_BK].reshape(-1, count))
            distances.append(np.sqrt(np.maximum(squares_BK[~own_BK].reshape(-1, count), 0)))
        return np.concatenate(ids), np.concatenate(distances)

    def _prepare(self, features_MD: Features) -> Features:
        block_MD = np.ascontiguousarray(features_MD, np.float32)
        return to_unit(block_MD) if self._unit else block_MD
