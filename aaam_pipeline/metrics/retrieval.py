"""Keyword retrieval quality: how many of a two-label query's first hits truly hold both labels.

Shapes: N images, L labels, P pairs of labels.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core import ranking


class PairQueries(NamedTuple):
    """Per pair that occurs: its labels' ids (P, 2), images that hold both (P,), precision of its first hits (P,)."""

    ids_P2: NDArray[np.intp]
    relevant_P: NDArray[np.intp]
    precision_P: NDArray[np.float64]


def pair_queries(scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], depth: int = 10) -> PairQueries:
    """Rank the images for every pair of labels that some image holds, exactly as `search` does (`core.ranking`).

    Precision is hits among the first `depth`, divided by `depth`: a pair held by fewer images cannot reach 1.
    """
    relevant_NL = targets_NL > 0
    codes_NL = ranking.encode(scores_NL)
    together_LL = relevant_NL.T.astype(np.intp) @ relevant_NL.astype(np.intp)
    pairs = [pair for pair in combinations(range(relevant_NL.shape[1]), 2) if together_LL[pair]]
    precision = [relevant_NL[ranking.rank(codes_NL[:, pair], depth)][:, pair].all(1).sum() / depth for pair in pairs]
    ids_P2 = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return PairQueries(ids_P2, together_LL[ids_P2[:, 0], ids_P2[:, 1]], np.array(precision, dtype=np.float64))
