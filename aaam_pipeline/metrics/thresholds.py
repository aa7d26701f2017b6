"""From which score on a label is assigned: one threshold a label, chosen on validation.

Shapes: N images, L labels.
"""

import numpy as np
from numpy.typing import NDArray

UNSEEN = 0.5
ENOUGH = 10


def choose_thresholds(scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return for each label the threshold with the highest F1, or the one best over all labels if that is higher, (L,).

    Scores have to mean the same for all labels, as calibrated ones do. The best F1 of a label that is hardly told from
    others lies at a score where it is mostly wrong: beside labels that are right, such assignments are useless. A label
    with fewer than `ENOUGH` positive images gets the common threshold, since one of its own would be an accident.

    A threshold lies half-way between the last score that is in and the first that is out, so that small differences
    between devices do not move an image across it. Of equal F1 the higher threshold wins. Without any positive: 0.5.
    Unknown pairs of image and label count nowhere.
    """
    common = _best(scores_NL.ravel(), targets_NL.ravel())
    return np.array(
        [
            max(_best(scores_N, targets_N), common) if (targets_N > 0).sum() >= ENOUGH else common
            for scores_N, targets_N in zip(scores_NL.T, targets_NL.T, strict=True)
        ],
        np.float64,
    )


def _best(scores_N: NDArray[np.floating], targets_N: NDArray[np.integer]) -> float:
    known_N = targets_N >= 0
    scores_N, relevant_N = scores_N[known_N], targets_N[known_N] > 0
    if not relevant_N.any():
        return UNSEEN
    order = np.argsort(-scores_N, kind="stable")
    sorted_N = scores_N[order].astype(np.float64)
    hits_N = relevant_N[order].cumsum()
    f1_N = 2 * hits_N / (np.arange(1, len(hits_N) + 1) + relevant_N.sum())
    # a cut between equal scores does not exist: only the last of a run of ties can be a cut
    f1_N[:-1][sorted_N[:-1] == sorted_N[1:]] = -1
    cut = int(np.argmax(f1_N))
    below = sorted_N[cut + 1] if cut + 1 < len(sorted_N) else 0.0
    return float((sorted_N[cut] + below) / 2)
