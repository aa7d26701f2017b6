"""A logistic regression of one variable for each label, fitted by Newton's method to all labels at once.

Shapes: N images, L labels.

    p = sigmoid(s x + b)      minimises      sum over images of cost * cross-entropy(p, y)  +  prior / 2 (u^2 + b^2)

The slope s is u itself, or exp(u), which keeps it above 0. Where the second derivatives have no minimum, Fisher's
information replaces them. It ends where a step changes the parameters by less than `CONVERGED`, whatever the loss is.
Written by hand: the base install has no SciPy, whose solvers would take the labels one by one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.calibration import sigmoid

Floats = NDArray[np.float64]
STEPS = 100
CONVERGED = 1e-8


class LogisticFit(NamedTuple):
    """What is fitted: the variable and the truth (0 or 1), both (N, L), and the weight of the prior.

    `costs_NL`: how much each pair counts. `log_slope`: whether u is the logarithm of the slope. `least_L`: the smallest
    u, a number or (L,).
    """

    x_NL: Floats
    relevant_NL: NDArray[np.bool_] | Floats
    prior: float
    costs_NL: Floats | float = 1.0
    log_slope: bool = False
    least_L: Floats | float = -np.inf

    def losses(self, line_2L: Floats) -> Floats:
        """Return what is minimised, at (u, b) of each label, (L,)."""
        # of a line that is far too steep the loss is infinite, or no number
        with np.errstate(over="ignore", invalid="ignore"):
            logits_NL = self._slopes(line_2L) * self.x_NL + line_2L[1]
            entropy_NL = np.logaddexp(0, logits_NL) - self.relevant_NL * logits_NL
            losses_L: Floats = (self.costs_NL * entropy_NL).sum(0) + self.prior / 2 * (line_2L**2).sum(0)
        return losses_L

    def step(self, line_2L: Floats) -> Floats:
        """Return the step of Newton's method, (2, L): of b alone where u is at its bound and would fall."""
        scaled_NL = self._slopes(line_2L) * self.x_NL
        probability_NL = sigmoid(scaled_NL + line_2L[1])
        by_u_NL = scaled_NL if self.log_slope else self.x_NL
        error_NL = self.costs_NL * (probability_NL - self.relevant_NL)
        curve_NL = self.costs_NL * probability_NL * (1 - probability_NL)
        u_L = (error_NL * by_u_NL).sum(0) + self.prior * line_2L[0]
        b_L = error_NL.sum(0) + self.prior * line_2L[1]
        uu_L, bb_L = (curve_NL * by_u_NL**2).sum(0) + self.prior, curve_NL.sum(0) + self.prior
        ub_L = (curve_NL * by_u_NL).sum(0)
        if self.log_slope:
            # the rest of the second derivative, unless there is no minimum with it
            exact_L = uu_L + (error_NL * by_u_NL).sum(0)
            uu_L = np.where(exact_L * bb_L > ub_L**2, exact_L, uu_L)
        # the inverse of [[uu, ub], [ub, bb]] is [[bb, -ub], [-ub, uu]] / (uu bb - ub^2)
        with np.errstate(divide="ignore", invalid="ignore"):
            step_2L = -np.stack([bb_L * u_L - ub_L * b_L, uu_L * b_L - ub_L * u_L]) / (uu_L * bb_L - ub_L**2)
        bound_L = (line_2L[0] <= self.least_L) & (step_2L[0] < 0)
        step_2L = np.where(bound_L, np.stack([np.zeros_like(b_L), -b_L / bb_L]), step_2L)
        # a curve that is lost in rounding gives no step
        return np.where(np.isfinite(step_2L), step_2L, 0)

    def solve(self, start_2L: Floats | None = None) -> tuple[Floats, Floats]:
        """Return slopes and biases, both (L,): steps that make a label's loss larger are halved until they do not."""
        line_2L = self._bounded(np.zeros((2, self.x_NL.shape[1])) if start_2L is None else start_2L)
        losses_L = self.losses(line_2L)
        for _ in range(STEPS):
            step_2L = self.step(line_2L)
            next_2L = self._bounded(line_2L + step_2L)
            while (worse_L := ~((next_losses_L := self.losses(next_2L)) <= losses_L)).any():
                step_2L[:, worse_L] /= 2
                step_2L[np.abs(step_2L) < CONVERGED] = 0
                next_2L = self._bounded(line_2L + step_2L)
            change, line_2L, losses_L = np.abs(next_2L - line_2L).max(), next_2L, next_losses_L
            if change < CONVERGED:
                break
        return self._slopes(line_2L), line_2L[1]

    def _slopes(self, line_2L: Floats) -> Floats:
        slopes_L: Floats = np.exp(line_2L[0]) if self.log_slope else line_2L[0]
        return slopes_L

    def _bounded(self, line_2L: Floats) -> Floats:
        return np.stack([np.maximum(line_2L[0], self.least_L), line_2L[1]])
