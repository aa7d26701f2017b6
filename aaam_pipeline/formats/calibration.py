"""What a score means: from the probability a network gives to one that can be trusted, label by label.

Shapes: N images, L labels.

Platt scaling (Platt 1999; Guo et al. 2017 for networks): p' = sigmoid(a_l logit(p) + b_l). With a_l > 0 it is strictly
increasing, so it never changes how a label ranks the images; what changes is how its scores compare with those of other
labels. The logit of p' is still a linear function of the embedding. `metrics.calibration` fits it.
"""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

# half of a float32's smallest step beside 0 and beside 1: probabilities of 0 and 1 stay apart from their neighbours
LEAST, LEAST_BELOW_ONE = 2.0**-150, 2.0**-25


class Calibration(msgspec.Struct, frozen=True):
    """One line a label, from logit to logit: `slopes` a_l > 0 and `biases` b_l, both (L,)."""

    slopes: list[Annotated[float, Meta(gt=0)]]
    biases: list[float]

    def fits(self, labels: int) -> bool:
        """Return whether there is one line for each of so many labels."""
        return len(self.slopes) == len(self.biases) == labels


def logit(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return log(p / (1 - p)) of float32 probabilities, finite and in the same order, also for 0 and 1."""
    wide = np.clip(np.asarray(probabilities, np.float64), LEAST, 1 - LEAST_BELOW_ONE)
    logits: NDArray[np.float64] = np.log(wide) - np.log1p(-wide)
    return logits


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return 1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(np.asarray(logits, np.float64)))
    probabilities: NDArray[np.float64] = np.where(logits >= 0, 1, small) / (1 + small)
    return probabilities


def calibrate(scores_NL: NDArray[np.floating], calibration: Calibration | None) -> NDArray[np.floating]:
    """Return calibrated scores as float64, (N, L); without a calibration the scores as they are."""
    if calibration is None:
        return scores_NL
    slopes_L, biases_L = np.asarray(calibration.slopes), np.asarray(calibration.biases)
    return sigmoid(slopes_L * logit(scores_NL) + biases_L)
