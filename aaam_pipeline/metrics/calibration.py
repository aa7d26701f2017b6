"""How reliable scores are: of the labels given 0.8, are eight in ten there?

Shapes: N images, L labels, B bins of equal width over [0, 1].
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 15


class Reliability(NamedTuple):
    """Per bin: how many scores fall into it, their mean, and how often the label is there (NaN for an empty bin)."""

    pairs_B: NDArray[np.intp]
    score_B: NDArray[np.float64]
    frequency_B: NDArray[np.float64]


def reliability(scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], bins: int = BINS) -> Reliability:
    """Return the reliability table of all image/label pairs.

    Bin b holds the scores in [b / B, (b + 1) / B), the last one 1 as well.

    Raises:
        ValueError: the shapes differ, or a score is no probability.
    """
    if scores_NL.shape != targets_NL.shape:
        raise ValueError(f"scores {scores_NL.shape} and targets {targets_NL.shape} must be of equal shapes")
    scores = np.asarray(scores_NL, np.float64).ravel()
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("only scores in [0, 1] can be reliable")
    bin_of = np.minimum((scores * bins).astype(np.intp), bins - 1)
    pairs_B = np.bincount(bin_of, minlength=bins)
    sums = (np.bincount(bin_of, weights, bins) for weights in (scores, (targets_NL > 0).ravel()))
    with np.errstate(invalid="ignore"):
        return Reliability(pairs_B, *(sum_B / pairs_B for sum_B in sums))


def calibration_error(scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], bins: int = BINS) -> float:
    """Return the expected calibration error (Naeini et al. 2015) of all image/label pairs together, in [0, 1].

    That is the mean over bins of |mean score - frequency|, weighted by the number of scores in the bin; 0 without any.
    """
    pairs_B, score_B, frequency_B = reliability(scores_NL, targets_NL, bins)
    return float(np.nansum(pairs_B * np.abs(score_B - frequency_B)) / max(pairs_B.sum(), 1))


def label_calibration_error(
    scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], bins: int = BINS
) -> float:
    """Return the mean over all labels of the expected calibration error of each label's own scores.

    Labels that are too often given and labels that are too seldom given do not make up for each other here. With few
    images it is above 0 also for perfect scores: bins of a few images have frequencies of chance.
    """
    columns = zip(scores_NL.T, targets_NL.T, strict=True)
    return float(np.mean([calibration_error(scores_N, targets_N, bins) for scores_N, targets_N in columns]))
