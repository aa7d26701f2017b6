"""How reliable scores are (of the labels given 0.8, are eight in ten there?), and the calibration that makes them so.

Shapes: N images, L labels, B bins of equal width over [0, 1], M = N L pairs.

The calibration of `formats.calibration` is fitted on a split that was not trained on.
Two lines a label can be fitted well where it has many positive images, and not at all where it has two. So one line is
fitted to all labels together, and each label's own is the one with the highest posterior probability under

    log slope ~ Normal(0, 1 / PRIOR),  bias ~ Normal(0, 1 / PRIOR)

relative to that common line: a label without a positive image keeps nearly the common line. (The common line itself
has such a prior of weight 1 around no change, so that it is finite whatever the images.) The slope is sought as a
logarithm, which keeps it above 0.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.calibration import Calibration, logit
from aaam_pipeline.metrics.logistic import LogisticFit

BINS = 15
# chosen on the validation splits of scenes and Corel-5k, by the log loss of cross-validation
PRIOR = 100.0
COMMON_PRIOR = 1.0


class Reliability(NamedTuple):
    """Per bin: how many scores fall into it, their mean, and how often the label is there (NaN for an empty bin)."""

    pairs_B: NDArray[np.intp]
    score_B: NDArray[np.float64]
    frequency_B: NDArray[np.float64]


def reliability(scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], bins: int = BINS) -> Reliability:
    """Return the reliability table of all image/label pairs that are known.

    Bin b holds the scores in [b / B, (b + 1) / B), the last one 1 as well.

    Raises:
        ValueError: the shapes differ, or a score is no probability.
    """
    if scores_NL.shape != targets_NL.shape:
        raise ValueError(f"scores {scores_NL.shape} and targets {targets_NL.shape} must be of equal shapes")
    scores = np.asarray(scores_NL, np.float64).ravel()
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("only scores in [0, 1] can be reliable")
    targets = targets_NL.ravel()
    scores, targets = scores[targets >= 0], targets[targets >= 0]
    bin_of = np.minimum((scores * bins).astype(np.intp), bins - 1)
    pairs_B = np.bincount(bin_of, minlength=bins)
    sums = (np.bincount(bin_of, weights, bins) for weights in (scores, targets > 0))
    with np.errstate(invalid="ignore"):
        return Reliability(pairs_B, *(sum_B / pairs_B for sum_B in sums))


def calibration_error(scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], bins: int = BINS) -> float:
    """Return the expected calibration error (Naeini et al. 2015) of all known image/label pairs together, in [0, 1].

    That is the mean over bins of |mean score - frequency|, weighted by the number of scores in the bin; 0 without any.
    """
    pairs_B, score_B, frequency_B = reliability(scores_NL, targets_NL, bins)
    return float(np.nansum(pairs_B * np.abs(score_B - frequency_B)) / max(pairs_B.sum(), 1))


def label_calibration_error(
    scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], bins: int = BINS
) -> float:
    """Return the mean over labels of the expected calibration error of each label's own scores.

    Labels that are too often given and labels that are too seldom given do not make up for each other here. With few
    images it is above 0 also for perfect scores: bins of a few images have frequencies of chance. A label that is known
    of no image does not count.
    """
    columns = zip(scores_NL.T, targets_NL.T, strict=True)
    known = [(scores_N, targets_N) for scores_N, targets_N in columns if (targets_N >= 0).any()]
    return float(np.mean([calibration_error(*column, bins) for column in known])) if known else 0.0


def fit_calibration(
    scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], prior: float = PRIOR
) -> Calibration:
    """Return one line a label from the logits of `scores_NL` to calibrated ones, fitted to the known pairs.

    Raises:
        ValueError: there is no image, or a score is no probability.
    """
    if not len(scores_NL) or not ((scores_NL >= 0) & (scores_NL <= 1)).all():
        raise ValueError("a calibration is fitted to probabilities of at least one image")
    logits_NL, relevant_NL = logit(scores_NL), (targets_NL > 0).astype(np.float64)
    # an unknown pair costs nothing
    known_NL = (targets_NL >= 0).astype(np.float64)
    x_M1, relevant_M1, known_M1 = (each.reshape(-1, 1) for each in (logits_NL, relevant_NL, known_NL))
    common_slope, common_bias = LogisticFit(x_M1, relevant_M1, COMMON_PRIOR, known_M1, log_slope=True).solve()
    x_NL = common_slope * logits_NL + common_bias
    slopes_L, biases_L = LogisticFit(x_NL, relevant_NL, prior, known_NL, log_slope=True).solve()
    # the one line after the other
    biases_L += slopes_L * common_bias
    return Calibration((slopes_L * common_slope).tolist(), biases_L.tolist())
