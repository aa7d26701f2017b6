"""Kernels between images: linear, RBF and exponential chi-square.

Shapes: N training images, M other images, D features.
"""

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.baselines.base import Features
from aaam_pipeline.core.errors import DatasetError, UsageError

KERNELS = ("linear", "rbf", "chi2")
# images whose distances give the chi2 kernel's width
SAMPLE = 1000
TINY = np.float32(1e-30)


class Kernel:
    """k(x, y): `linear` x'y; `rbf` exp(-|x - y|^2 / A); `chi2` exp(-chi2(x, y) / A), A the mean over training pairs.

    chi2(x, y) = 1/2 sum_d (x_d - y_d)^2 / (x_d + y_d), for features that are not negative.
    """

    def __init__(self, name: str, features_ND: Features) -> None:
        if name not in KERNELS:
            raise UsageError(f"no kernel {name!r}; known: {', '.join(KERNELS)}")
        self._name = name
        if name == "chi2" and features_ND.min() < 0:
            raise DatasetError("the chi2 kernel is for features that are not negative; use rbf or linear")
        # features that differ little lie far from zero: their distances would be lost in rounding
        self._centre_D = features_ND.mean(0, dtype=np.float64).astype(np.float32)
        self.width = max(self._mean_distance(features_ND), 1e-12)

    def __call__(self, features_MD: Features, others_ND: Features) -> NDArray[np.float32]:
        """Return the kernel between two sets of images, (M, N)."""
        if self._name == "linear":
            return np.asarray(features_MD @ others_ND.T, np.float32)
        kernel_MN = self._distances(features_MD, others_ND)
        kernel_MN /= -self.width
        return np.exp(kernel_MN, out=kernel_MN)

    def _mean_distance(self, features_ND: Features) -> float:
        if self._name == "linear":
            return 0.0
        if self._name == "rbf":
            # the mean of |x - y|^2 over all pairs is twice the variance
            return 2 * float(features_ND.var(0, dtype=np.float64).sum())
        chosen_N = np.linspace(0, len(features_ND) - 1, min(len(features_ND), SAMPLE)).astype(np.intp)
        return float(self._distances(features_ND[chosen_N], features_ND[chosen_N]).mean())

    def _distances(self, features_MD: Features, others_ND: Features) -> NDArray[np.float32]:
        if self._name == "chi2":
            return _chi_square(features_MD, others_ND)
        features_MD, others_ND = features_MD - self._centre_D, others_ND - self._centre_D
        distances_MN = features_MD @ others_ND.T
        distances_MN *= -2
        distances_MN += (others_ND**2).sum(1)
        distances_MN += (features_MD**2).sum(1)[:, None]
        return np.asarray(np.maximum(distances_MN, 0, out=distances_MN), np.float32)


def _chi_square(features_MD: Features, others_ND: Features) -> NDArray[np.float32]:
    distances_MN = np.empty((len(features_MD), len(others_ND)), np.float32)
    # image by image: all differences at once would be M x N x D numbers
    for row, feature_D in enumerate(np.maximum(features_MD, 0)):
        difference_ND = others_ND - feature_D
        sum_ND = others_ND + feature_D
        difference_ND *= difference_ND
        difference_ND /= np.maximum(sum_ND, TINY, out=sum_ND)
        distances_MN[row] = 0.5 * difference_ND.sum(1)
    return distances_MN
