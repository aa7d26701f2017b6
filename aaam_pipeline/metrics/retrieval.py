"""Keyword retrieval quality: does a query of one, two or three labels find the images that hold all of them?

Shapes: N images, L labels, Q queries of S labels each, P pairs of labels.

The protocol of the field (Makadia et al. 2008, Guillaumin et al. 2009): an image is relevant to a query if it holds all
of its labels, and every set of labels that some image holds is a query. Images are ranked exactly as `search` ranks
them (`formats.ranking`).

Where labels are unknown, an image is irrelevant if it is known to be without one of them. If that is not known either,
it is taken out before images are ranked. A query to which no image is irrelevant is none then: any ranking answers it.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats import ranking
from aaam_pipeline.metrics.annotation import ranks

SIZES = (1, 2, 3)
# numbers that are sorted at once: 32 MB
BLOCK = 2**22


class PairQueries(NamedTuple):
    """Per pair that occurs: its labels' ids (P, 2), images that hold both (P,), precision of its first hits (P,)."""

    ids_P2: NDArray[np.intp]
    relevant_P: NDArray[np.intp]
    precision_P: NDArray[np.float64]


def pair_queries(scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], depth: int = 10) -> PairQueries:
    """Rank the images for every pair of labels that some image holds.

    Precision is hits among the first `depth`, divided by `depth`: a pair held by fewer images cannot reach 1.
    """
    relevant_NL = targets_NL > 0
    codes_NL = ranking.encode(scores_NL)
    ids_P2 = label_sets(targets_NL, 2)
    precision = []
    for pair in ids_P2:
        targets_N2, codes_N2 = targets_NL[:, pair], codes_NL[:, pair]
        judged_N = np.flatnonzero((targets_N2 > 0).all(1) | (targets_N2 == 0).any(1))
        first = judged_N[ranking.rank(codes_N2[judged_N], depth)]
        precision.append((targets_N2[first] > 0).all(1).sum() / depth)
    together_LL = relevant_NL.T.astype(np.intp) @ relevant_NL.astype(np.intp)
    return PairQueries(ids_P2, together_LL[ids_P2[:, 0], ids_P2[:, 1]], np.array(precision, dtype=np.float64))


def label_sets(targets_NL: NDArray[np.integer], size: int) -> NDArray[np.intp]:
    """Return all sets of `size` labels that are queries, (Q, size), in the order of their ids."""
    held = {labels for row_L in targets_NL > 0 for labels in combinations(np.flatnonzero(row_L).tolist(), size)}
    ids_QS = np.array(sorted(held), dtype=np.intp).reshape(-1, size)
    lacked_L, complete_L = np.any(targets_NL == 0, axis=0), np.all(targets_NL >= 0, axis=0)
    judged_Q = np.flatnonzero(lacked_L[ids_QS].any(1) | complete_L[ids_QS].all(1))
    return ids_QS[judged_Q]


def query_ap(
    scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], ids_QS: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the average precision of each query, (Q,).

    A relevant image whose score is too small for a hit of a search is not found: it adds nothing to the sum.
    """
    # a row a label, so that a query's scores lie together
    score_LN = ranking.decode(ranking.encode(np.ascontiguousarray(scores_NL.T)))
    targets_LN = np.ascontiguousarray(targets_NL.T)
    complete = bool((targets_LN >= 0).all())
    step = max(1, BLOCK // max(1, score_LN.shape[1]))
    blocks = [ids_QS[first : first + step] for first in range(0, len(ids_QS), step)]
    return np.concatenate([np.zeros(0), *(_ap(score_LN, targets_LN, block_QS, complete) for block_QS in blocks)])


def retrieval_map(scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], size: int) -> tuple[float, int]:
    """Return the mean average precision of all queries of `size` labels, and how many they are; (0, 0) without any."""
    ap_Q = query_ap(scores_NL, targets_NL, label_sets(targets_NL, size))
    return (float(ap_Q.mean()), len(ap_Q)) if len(ap_Q) else (0.0, 0)


def _ap(
    score_LN: NDArray[np.float64], targets_LN: NDArray[np.integer], ids_QS: NDArray[np.intp], complete: bool
) -> NDArray[np.float64]:
    """Return average precisions, (Q,); the labels of a query are multiplied in the order of their ids.

    `complete`: no target is unknown.
    """
    targets_QSN = targets_LN[ids_QS]
    relevant_QN = (targets_QSN > 0).all(axis=1)
    judged_QN = np.ones_like(relevant_QN) if complete else relevant_QN | (targets_QSN == 0).any(axis=1)
    product_QN = score_LN[ids_QS[:, 0]]
    for ids_Q in ids_QS.T[1:]:
        product_QN *= score_LN[ids_Q]
    # best first, ties by id
    order_QN = np.argsort(-product_QN, axis=1, kind="stable")
    hits_QN = np.take_along_axis(relevant_QN, order_QN, axis=1)
    precision_QN = hits_QN.cumsum(axis=1) / ranks(judged_QN, order_QN, axis=1)
    found_QN = hits_QN & (np.take_along_axis(product_QN, order_QN, axis=1) >= ranking.least_of(ids_QS.shape[1]))
    ap_Q: NDArray[np.float64] = (precision_QN * found_QN).sum(axis=1) / hits_QN.sum(axis=1)
    return ap_Q
