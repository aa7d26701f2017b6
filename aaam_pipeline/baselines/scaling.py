"""Standardised features, without a second copy of them all.

Shapes: N training images, B images of a block, D features, L labels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.baselines.base import Features, blocks

Wide = NDArray[np.float64]


class Scale(NamedTuple):
    """Mean and deviation of each feature, (D,); the deviation of a constant feature is 1."""

    mean_D: Wide
    deviation_D: Wide

    def __call__(self, features_BD: Features) -> Features:
        """Return standardised features."""
        scaled: Features = ((features_BD - self.mean_D) / self.deviation_D).astype(np.float32)
        return scaled

    def folded(self, weights_DL: Wide, biases_L: Wide) -> tuple[Wide, Wide]:
        """Return the weights and biases that do to features what the given ones do to standardised features."""
        inner_DL = weights_DL / self.deviation_D[:, None]
        return inner_DL, biases_L - self.mean_D @ inner_DL


def standardisation(features_ND: Features) -> Scale:
    """Return mean and deviation of training features, in two passes over them."""
    mean_D: Wide = np.asarray(features_ND.mean(0, dtype=np.float64))
    squares_D = np.zeros_like(mean_D)
    for (block,) in blocks(features_ND):
        squares_D += np.square(block - mean_D).sum(0)
    deviation_D = np.sqrt(squares_D / len(features_ND))
    return Scale(mean_D, np.where(deviation_D > 0, deviation_D, 1))
