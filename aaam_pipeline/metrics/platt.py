"""Fit the calibration of `core.calibration` on a split that was not trained on.

Shapes: N images, L labels.

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

from aaam_pipeline.formats.calibration import Calibration, logit, sigmoid

# chosen on the validation splits of scenes and Corel-5k, by the log loss of cross-validation
PRIOR = 100.0
COMMON_PRIOR = 1.0
STEPS = 100
CONVERGED = 1e-8


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
    common_slope, common_bias = _Fit(logits_NL.reshape(-1, 1), relevant_NL.reshape(-1, 1), COMMON_PRIOR).solve()
    slopes_L, biases_L = _Fit(common_slope * logits_NL + common_bias, relevant_NL, prior).solve()
    # the one line after the other
    biases_L += slopes_L * common_bias
    return Calibration((slopes_L * common_slope).tolist(), biases_L.tolist())


class _Fit(NamedTuple):
    """What is fitted: logits and truth (N, L), the weight of the prior."""

    logits_NL: NDArray[np.float64]
    relevant_NL: NDArray[np.float64]
    prior: float

    def losses(self, line_2L: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return minus the logarithm of each label's posterior at (log slope, bias), (L,)."""
        meant_NL = np.exp(line_2L[0]) * self.logits_NL + line_2L[1]
        likely_L = (np.logaddexp(0, meant_NL) - self.relevant_NL * meant_NL).sum(0)
        losses_L: NDArray[np.float64] = likely_L + self.prior / 2 * (line_2L**2).sum(0)
        return losses_L

    def step(self, line_2L: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the step of Newton's method, with Fisher's information for the second derivatives, (2, L)."""
        scaled_NL = np.exp(line_2L[0]) * self.logits_NL
        probability_NL = sigmoid(scaled_NL + line_2L[1])
        error_NL, weight_NL = probability_NL - self.relevant_NL, probability_NL * (1 - probability_NL)
        slope_L = (error_NL * scaled_NL).sum(0) + self.prior * line_2L[0]
        bias_L = error_NL.sum(0) + self.prior * line_2L[1]
        # the inverse of [[a, b], [b, c]] is [[c, -b], [-b, a]] / (a c - b^2)
        a_L, c_L = (weight_NL * scaled_NL**2).sum(0) + self.prior, weight_NL.sum(0) + self.prior
        b_L = (weight_NL * scaled_NL).sum(0)
        inverse_2L = np.stack([c_L * slope_L - b_L * bias_L, a_L * bias_L - b_L * slope_L])
        step_2L: NDArray[np.float64] = -inverse_2L / (a_L * c_L - b_L**2)
        return step_2L

    def solve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return slopes and biases, both (L,): steps that make a label's loss larger are halved until they do not."""
        line_2L = np.zeros((2, self.logits_NL.shape[1]))
        losses_L = self.losses(line_2L)
        for _ in range(STEPS):
            step_2L = self.step(line_2L)
            while (worse_L := self.losses(line_2L + step_2L) > losses_L).any():
                step_2L[:, worse_L] /= 2
                step_2L[np.abs(step_2L) < CONVERGED] = 0
            line_2L += step_2L
            losses_L = self.losses(line_2L)
            if np.abs(step_2L).max() < CONVERGED:
                break
        return np.exp(line_2L[0]), line_2L[1]
