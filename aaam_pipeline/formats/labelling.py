"""From scores to the columns `labels` and `label_scores` of rows. Annotating and relabelling compute with it.

Shapes: N rows, L labels, A labels assigned.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def assign(
    scores_NL: NDArray[np.float32],
    vocabulary: Sequence[str],
    limits_L: Sequence[float],
    top: int | None,
    annotated_N: NDArray[np.bool_],
) -> tuple[pa.Array, pa.Array]:
    """Return each row's labels and their scores, lists of strings and of float32: best first, ties by label order.

    A label is assigned from its limit on, and an image gets `top` at most. A row that is not annotated gets nulls.
    """
    reached_NL = (scores_NL >= np.asarray(limits_L, np.float32)) & annotated_N[:, None]
    row_A, label_A = np.nonzero(reached_NL)
    score_A = scores_NL[row_A, label_A]
    order_A = np.lexsort((label_A, -score_A, row_A))
    row_A, label_A, score_A = row_A[order_A], label_A[order_A], score_A[order_A]
    counts_N = np.bincount(row_A, minlength=len(scores_NL))
    if top is not None:
        rank_A = np.arange(len(row_A)) - (np.cumsum(counts_N) - counts_N)[row_A]
        label_A, score_A = label_A[rank_A < top], score_A[rank_A < top]
        counts_N = counts_N.clip(max=top)
    ends = pa.array(np.concatenate([[0], np.cumsum(counts_N)]).astype(np.int32))
    failed = pa.array(~annotated_N)
    names = pa.array(vocabulary, pa.string()).take(pa.array(label_A))
    lists = (pa.ListArray.from_arrays(ends, values, mask=failed) for values in (names, pa.array(score_A, pa.float32())))
    labels, label_scores = lists
    return labels, label_scores
