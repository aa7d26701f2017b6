"""A sigmoid for each label, fitted by Newton's method to all labels at once.

Shapes: N images, L labels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.calibration import sigmoid

Floats = NDArray[np.float64]
LEAST_ALPHA = 0.01
# strength of the prior on alpha and beta, as a share of one label's part of the likelihood
PRIOR = 1e-4
STEPS = 50


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
    labels = x_NL.shape[1]
    positive_NL = targets_NL > 0
    cost_NL = np.where(positive_NL, present, absent)
    # a likelihood of sum 1 for every label: the same maximum, and steps of one size
    cost_NL = cost_NL / cost_NL.sum(0)
    scale = np.maximum(x_NL.std(0), 1e-6)
    z_NL = x_NL / scale
    ab_L2 = np.zeros((labels, 2))
    if start is not None:
        ab_L2 = np.stack([start.alpha_L * scale, start.beta_L], axis=1)
    value_L = _cost(ab_L2, z_NL, positive_NL, cost_NL)
    for _ in range(STEPS):
        step_L2 = _newton_step(ab_L2, z_NL, positive_NL, cost_NL, LEAST_ALPHA * scale)
        better = np.zeros(labels, np.bool_)
        for halving in range(12):
            tried_L2 = ab_L2 - step_L2 * 0.5**halving * ~better[:, None]
            tried_L2[:, 0] = np.maximum(tried_L2[:, 0], LEAST_ALPHA * scale)
            tried_L = _cost(tried_L2, z_NL, positive_NL, cost_NL)
            gained = ~better & (tried_L < value_L - 1e-10)
            ab_L2[gained], value_L[gained] = tried_L2[gained], tried_L[gained]
            better |= gained
            if better.all():
                break
        if not better.any():
            break
    return Sigmoids(ab_L2[:, 0] / scale, ab_L2[:, 1])


def _cost(ab_L2: Floats, z_NL: Floats, positive_NL: NDArray[np.bool_], cost_NL: Floats) -> Floats:
    margin_NL = np.where(positive_NL, 1.0, -1.0) * (ab_L2[:, 0] * z_NL + ab_L2[:, 1])
    return np.asarray((cost_NL * np.logaddexp(0, -margin_NL)).sum(0) + 0.5 * PRIOR * (ab_L2**2).sum(1))


def _newton_step(
    ab_L2: Floats, z_NL: Floats, positive_NL: NDArray[np.bool_], cost_NL: Floats, least_L: Floats
) -> Floats:
    """Return each label's Newton step, (L, 2); where alpha is at its bound and would fall, of beta alone."""
    p_NL = sigmoid(ab_L2[:, 0] * z_NL + ab_L2[:, 1])
    error_NL = cost_NL * (p_NL - positive_NL)
    curve_NL = cost_NL * p_NL * (1 - p_NL)
    by_alpha, by_beta = (error_NL * z_NL).sum(0) + PRIOR * ab_L2[:, 0], error_NL.sum(0) + PRIOR * ab_L2[:, 1]
    aa = (curve_NL * z_NL**2).sum(0) + PRIOR
    ab = (curve_NL * z_NL).sum(0)
    bb = curve_NL.sum(0) + PRIOR
    step_2L = np.stack([bb * by_alpha - ab * by_beta, aa * by_beta - ab * by_alpha])
    step_L2 = np.asarray((step_2L / (aa * bb - ab**2)).T)
    bound = (ab_L2[:, 0] <= least_L) & (step_L2[:, 0] > 0)
    step_L2[bound] = np.stack([np.zeros(bound.sum()), (by_beta / bb)[bound]], axis=1)
    return step_L2
