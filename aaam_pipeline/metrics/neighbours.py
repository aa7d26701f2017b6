"""Neighbour evidence: do similar images predict an image's labels (the paper's image/image dependency)?

Shapes: N images, L labels, D embedding, K neighbours.

An image's scores are moved towards those of its nearest neighbours by embedding among the images of the same
collection, as an index could do it. Annotations and searches do not use it; reports/results.md says why.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.metrics.retrieval import SIZES, retrieval_map

COUNTS = (5, 10, 20)
WEIGHTS = (0.1, 0.2, 0.3, 0.4)
MOST = 2000
"""Images to choose on: the time for all settings grows faster than their number, to half a minute for 2,000."""
BLOCK = 1024


class NeighbourSetting(NamedTuple):
    """Over how many neighbours to smooth scores, with which weight, and the mean retrieval mAP that this gains."""

    neighbours: int
    weight: float
    gain: float


def nearest(embedding_ND: NDArray[np.floating], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return ids and cosines of each image's nearest other images, both (N, K), nearest first; K is N - 1 at most.

    Exact: all pairs are compared.
    """
    wide = np.asarray(embedding_ND, np.float32)
    unit_ND = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    count = min(count, len(unit_ND) - 1)
    ids, cosines = [], []
    for first in range(0, len(unit_ND), BLOCK):
        cosine_BN = unit_ND[first : first + BLOCK] @ unit_ND.T
        rows = np.arange(len(cosine_BN))
        cosine_BN[rows, first + rows] = -np.inf
        near_BK = np.argpartition(-cosine_BN, max(count - 1, 0), axis=1)[:, :count]
        order_BK = np.argsort(-np.take_along_axis(cosine_BN, near_BK, axis=1), axis=1, kind="stable")
        ids.append(np.take_along_axis(near_BK, order_BK, axis=1))
        cosines.append(np.take_along_axis(cosine_BN, ids[-1], axis=1))
    return np.concatenate(ids), np.concatenate(cosines)


def smooth(
    scores_NL: NDArray[np.floating], ids_NK: NDArray[np.integer], cosines_NK: NDArray[np.floating], weight: float
) -> NDArray[np.float64]:
    """Return (1 - weight) of each image's scores plus weight of the mean of its neighbours', (N, L).

    The mean is weighted with cosines; those below 0 count as 0. An image without a neighbour keeps its scores.
    """
    scores_NL = np.asarray(scores_NL, np.float64)
    shares_NK = np.maximum(cosines_NK, 0).astype(np.float64)
    total_N1 = shares_NK.sum(1, keepdims=True)
    sums_NL = np.zeros_like(scores_NL)
    # neighbour by neighbour: all at once would take K times the memory
    for ids_N, shares_N in zip(ids_NK.T, shares_NK.T, strict=True):
        sums_NL += shares_N[:, None] * scores_NL[ids_N]
    mean_NL = np.where(total_N1 > 0, sums_NL / np.maximum(total_N1, 1e-12), scores_NL)
    return (1 - weight) * scores_NL + weight * mean_NL


def choose_neighbours(
    scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], embedding_ND: NDArray[np.floating]
) -> NeighbourSetting:
    """Return the neighbours and the weight that are best by the mean of the retrieval mAPs, and what they gain.

    Of more than `MOST` images so many are taken, spread evenly.
    """
    chosen_N = np.linspace(0, len(scores_NL) - 1, min(len(scores_NL), MOST)).astype(np.intp)
    scores_NL, targets_NL, embedding_ND = scores_NL[chosen_N], targets_NL[chosen_N], embedding_ND[chosen_N]
    ids_NK, cosines_NK = nearest(embedding_ND, max(COUNTS))

    def quality(smoothed_NL: NDArray[np.floating]) -> float:
        return float(np.mean([retrieval_map(smoothed_NL, targets_NL, size)[0] for size in SIZES]))

    without = quality(scores_NL)
    tried = [
        NeighbourSetting(
            count, weight, quality(smooth(scores_NL, ids_NK[:, :count], cosines_NK[:, :count], weight)) - without
        )
        for count, weight in product(COUNTS, WEIGHTS)
    ]
    # of equal gains the first: fewer neighbours, less weight
    return max(tried, key=lambda each: each.gain)
