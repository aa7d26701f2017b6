"""TagProp's sigmoid for each label, of largest likelihood.

Shapes: N images, L labels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.calibration import sigmoid
from aaam_pipeline.metrics.logistic import LogisticFit

Floats = NDArray[np.float64]
LEAST_ALPHA = 0.01
# strength of the prior on alpha and beta, as a share of one label's part of the likelihood
PRIOR = 1e-4


class Sigmoids(NamedTuple):
    """p = 1 / (1 + exp(-(alpha_w x + beta_w))), both (L,)."""

    alpha_L: Floats
    beta_L: Floats

    def __call__(self, x_NL: Floats) -> Floats:
        """Return the probabilities, (N, L)."""
        return sigmoid(self.alpha_L * x_NL + self.beta_L)


def fit_sigmoids(
    x_NL: Floats, targets_NL: NDArray[np.integer], present: float, absent: float, start: Sigmoids | None = None
) -> Sigmoids:
    """Return the sigmoids of largest likelihood, each presence counted `present` and each absence `absent`.

    alpha is at least `LEAST_ALPHA`; a weak prior keeps both numbers finite.
    """
    positive_NL = targets_NL > 0
    cost_NL = np.where(positive_NL, present, absent)
    # a likelihood of sum 1 for every label: the same maximum, and steps of one size
    cost_NL = cost_NL / cost_NL.sum(0)
    scale_L = np.maximum(x_NL.std(0), 1e-6)
    fit = LogisticFit(x_NL / scale_L, positive_NL, PRIOR, cost_NL, least_L=LEAST_ALPHA * scale_L)
    slopes_L, biases_L = fit.solve(np.stack([start.alpha_L * scale_L, start.beta_L]) if start is not None else None)
    return Sigmoids(slopes_L / scale_L, biases_L)
