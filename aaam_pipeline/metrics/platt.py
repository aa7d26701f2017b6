"""Fit the calibration of `formats.calibration` on a split that was not trained on.

Shapes: N images, L labels.

Two lines a label can be fitted well where it has many positive images, and not at all where it has two. So one line is
fitted to all labels together, and each label's own is the one with the highest posterior probability under

    log slope ~ Normal(0, 1 / PRIOR),  bias ~ Normal(0, 1 / PRIOR)

relative to that common line: a label without a positive image keeps nearly the common line. (The common line itself
has such a prior of weight 1 around no change, so that it is finite whatever the images.) The slope is sought as a
logarithm, which keeps it above 0.
"""

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.calibration import Calibration, logit
from aaam_pipeline.metrics.logistic import LogisticFit

# chosen on the validation splits of scenes and Corel-5k, by the log loss of cross-validation
PRIOR = 100.0
COMMON_PRIOR = 1.0


def fit_calibration(
    scores_NL: NDArray[np.floating], targets_NL: NDArray[np.integer], prior: float = PRIOR
) -> Calibration:
    """Return one line a label from the logits of `scores_NL` to calibrated ones.

    Raises:
        ValueError: there is no image, or a score is no probability.
    """
    if not len(scores_NL) or not ((scores_NL >= 0) & (scores_NL <= 1)).all():
        raise ValueError("a calibration is fitted to probabilities of at least one image")
    logits_NL, relevant_NL = logit(scores_NL), (targets_NL > 0).astype(np.float64)
    common = LogisticFit(logits_NL.reshape(-1, 1), relevant_NL.reshape(-1, 1), COMMON_PRIOR, log_slope=True)
    common_slope, common_bias = common.solve()
    slopes_L, biases_L = LogisticFit(common_slope * logits_NL + common_bias, relevant_NL, prior, log_slope=True).solve()
    # the one line after the other
    biases_L += slopes_L * common_bias
    return Calibration((slopes_L * common_slope).tolist(), biases_L.tolist())
