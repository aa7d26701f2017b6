"""The semantic space of kernel CCA: where images and label vectors correlate best.

D. Hardoon, S. Szedmak, J. Shawe-Taylor: Canonical correlation analysis: an overview with application to learning
methods. Neural Computation 16, 2004 (the regularised problem); T. Uricchio, L. Ballan, L. Seidenari, A. Del Bimbo:
Automatic image annotation via label transfer in the semantic space. Pattern Recognition 71, 2017.

Shapes: N training images, M images to be projected, D features, L labels, R landmarks, E dimensions of the space.

With centred kernels Kx of the images and Ky = Y Y' of the label vectors (the number of labels that two images share) it
maximises a' Kx Ky b where a' (Kx^2 + kx Kx) a = 1 and b' (Ky^2 + ky Ky) b = 1, which is

    (Kx + kx I)^-1 Ky (Ky + ky I)^-1 Kx a = r^2 a                                    r: the canonical correlations.

Ky has rank L at most, so the same is solved with L x L matrices, in w = Y' b, without loss:

    Y' Kx (Kx + kx I)^-1 Y w = r^2 (Y' Y + ky I) w,    a = (Kx + kx I)^-1 Y w / r.

Deviations, with reasons:
- Solved exactly, with one Cholesky decomposition of Kx + kx I, up to `EXACT` training images; the sources take a
  partial Gram-Schmidt decomposition of both kernels. Above, Kx is Nystroem's with R landmarks drawn at random,
  Kx = F F', and Y' F (F' F + kx I)^-1 F' Y replaces the matrix at the left.
- kx and ky are `kappa` times the mean eigenvalue of their kernel, so that `kappa` means the same for every kernel and
  size. The sources have one number for both kernels as they are.
- Coordinates are multiplied by their correlation to the power of `power`: dimensions that correlate little add little
  to distances. (So does the code of A. Dutta, Y. Verma, C. Jawahar: Automatic image annotation: the quirks and what
  works, 2018, with power 1. 0 gives the plain projections.)
- The kernel between images is a setting. The 2017 paper was not at hand to see which one it has; RBF and
  chi-square are equally good on Corel-5k, and the former takes a fraction of the time.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh
from sklearn.metrics.pairwise import additive_chi2_kernel

from aaam_pipeline.baselines.base import Features, Targets, blocks
from aaam_pipeline.baselines.nearest import to_unit
from aaam_pipeline.core.errors import DatasetError, UsageError

EXACT = 20_000
# correlations below are rounding
LEAST_CORRELATION = 1e-5

KERNELS = ("linear", "rbf", "chi2")
# images whose distances give the chi2 kernel's width
SAMPLE = 1000

Floats = NDArray[np.float64]


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
        self.width = self._mean_distance(features_ND) or 1.0

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
            return np.asarray(-additive_chi2_kernel(np.maximum(features_MD, 0), others_ND) / 2, np.float32)
        features_MD, others_ND = features_MD - self._centre_D, others_ND - self._centre_D
        distances_MN = features_MD @ others_ND.T
        distances_MN *= -2
        distances_MN += (others_ND**2).sum(1)
        distances_MN += (features_MD**2).sum(1)[:, None]
        return np.asarray(np.maximum(distances_MN, 0, out=distances_MN), np.float32)


@dataclass(eq=False, kw_only=True)
class SpaceSettings:
    """What a space depends on beside the data.

    kernel: between images, `rbf`, `linear` or `chi2` (for features that are not negative; many times slower). kappa:
    strength of the regularisation. power: of the correlations that coordinates are multiplied by. landmarks: of
    Nystroem's approximation, above 20,000 training images. unit: scale features to unit length first. seed: of the
    landmarks.
    """

    kernel: str = "rbf"
    kappa: float = 1.0
    power: float = 1.0
    landmarks: int = 4000
    unit: bool = True
    seed: int = 1

    def check(self) -> None:
        """Raise a UsageError unless the numbers fit."""
        if not self.kappa > 0:
            raise UsageError(f"kappa must be above 0, not {self.kappa}: without it every correlation is 1")
        if self.landmarks < 1:
            raise UsageError(f"landmarks must be at least 1, not {self.landmarks}")


class _NothingCorrelatesError(Exception):
    """All images have the same features or the same labels, or neither says anything of the other."""


class SemanticSpace:
    """A fitted space: `project` and `project_labels`; `correlations_E`, largest first; `train_NE`.

    Where nothing correlates (one image; equal features or labels) it has one dimension of correlation 0, in which
    everything is at 0.
    """

    def __init__(self, features_ND: Features, targets_NL: Targets, settings: SpaceSettings) -> None:
        settings.check()
        self._settings = settings
        self.mean_L = targets_NL.mean(0, dtype=np.float64)
        targets_NL = np.asarray(targets_NL)
        # the images that kernels are taken with: all, or the landmarks
        exact = len(features_ND) <= EXACT
        chosen_R = slice(None) if exact else draw_landmarks(features_ND, settings.landmarks, settings.seed)
        self._chosen_RD = self._prepare(features_ND[chosen_R])
        self._kernel = Kernel(settings.kernel, self._chosen_RD)
        try:
            (self._fit_exact if exact else self._fit_nystroem)(features_ND, targets_NL)
        except np.linalg.LinAlgError:
            raise DatasetError(
                f"kernel CCA has no solution: features differ too little for kappa {settings.kappa}; use a larger one"
            ) from None
        except _NothingCorrelatesError:
            self.correlations_E, self._labels_LE = np.zeros(1), np.zeros((targets_NL.shape[1], 1))
            self._keep(np.zeros((len(self._chosen_RD), 1)), np.zeros(1))
            self.train_NE = np.zeros((len(features_ND), 1), np.float32)

    def project(self, features_MD: Features) -> NDArray[np.float32]:
        """Return the images' coordinates, (M, E)."""
        projected_ME = np.empty((len(features_MD), len(self.correlations_E)), np.float32)
        for features_BD, projected_BE in blocks(features_MD, projected_ME):
            projected_BE[:] = self._kernel(self._prepare(features_BD), self._chosen_RD) @ self._dual_RE - self._offset_E
        return projected_ME

    def project_labels(self, targets_ML: NDArray[np.number]) -> Floats:
        """Return the coordinates of label vectors, (M, E)."""
        return np.asarray((targets_ML - self.mean_L) @ self._labels_LE * self.correlations_E**self._settings.power)

    def _prepare(self, features_MD: Features) -> Features:
        block_MD = np.ascontiguousarray(features_MD, np.float32)
        return to_unit(block_MD) if self._settings.unit else block_MD

    def _fit_exact(self, features_ND: Features, targets_NL: Targets) -> None:
        count = len(features_ND)
        kernel_NN = np.empty((count, count))
        for chosen_BD, kernel_BN in blocks(self._chosen_RD, kernel_NN):
            kernel_BN[:] = self._kernel(chosen_BD, self._chosen_RD)
        mean_N, whole = kernel_NN.mean(0), float(np.trace(kernel_NN))
        kernel_NN -= mean_N
        kernel_NN -= (mean_N - mean_N.mean())[:, None]
        kappa = self._ridge(float(np.trace(kernel_NN)), whole, count)
        kernel_NN[np.diag_indices(count)] += kappa
        labels_NL = targets_NL - self.mean_L
        # transposed, which changes nothing, for LAPACK to work in place
        factor = cho_factor(kernel_NN.T, lower=True, overwrite_a=True, check_finite=False)
        solved_NL = cho_solve(factor, labels_NL, check_finite=False)
        # Kx (Kx + kx I)^-1 Y
        fitted_NL = labels_NL - kappa * solved_NL
        turned_LE = self._correlate(labels_NL.T @ fitted_NL, labels_NL.T @ labels_NL, count)
        dual_NE = solved_NL @ turned_LE
        self._keep(dual_NE, mean_N @ dual_NE)
        self.train_NE = np.asarray(fitted_NL @ turned_LE, np.float32)

    def _fit_nystroem(self, features_ND: Features, targets_NL: Targets) -> None:
        count = len(features_ND)
        values_R, vectors_RR = eigh(self._kernel(self._chosen_RD, self._chosen_RD).astype(np.float64))
        kept = values_R > 1e-6 * values_R[-1]
        map_RR = vectors_RR[:, kept] / np.sqrt(values_R[kept])
        size = map_RR.shape[1]
        square_RR, with_RL = np.zeros((size, size)), np.zeros((size, targets_NL.shape[1]))
        sum_R, labels_LL = np.zeros(size), np.zeros((targets_NL.shape[1], targets_NL.shape[1]))
        for features_BD, targets_BL in blocks(features_ND, targets_NL):
            kernel_BR = self._kernel(self._prepare(features_BD), self._chosen_RD)
            mapped_BR = kernel_BR @ map_RR.astype(np.float32)
            square_RR += mapped_BR.T @ mapped_BR
            with_RL += mapped_BR.T @ (targets_BL - self.mean_L).astype(np.float32)
            sum_R += mapped_BR.sum(0, dtype=np.float64)
            # how many images have both labels
            labels_LL += targets_BL.T.astype(np.float32) @ targets_BL.astype(np.float32)
        mean_R, whole = sum_R / count, float(np.trace(square_RR))
        square_RR -= count * np.outer(mean_R, mean_R)
        kappa = self._ridge(float(np.trace(square_RR)), whole, count)
        square_RR[np.diag_indices(size)] += kappa
        solved_RL = cho_solve(cho_factor(square_RR, lower=True, overwrite_a=True), with_RL)
        labels_LL -= count * np.outer(self.mean_L, self.mean_L)
        turned_LE = self._correlate(with_RL.T @ solved_RL, labels_LL, count)
        primal_RE = solved_RL @ turned_LE
        self._keep(map_RR @ primal_RE, mean_R @ primal_RE)
        self.train_NE = self.project(features_ND)

    def _ridge(self, trace: float, whole: float, count: int) -> float:
        """Return kx from the traces of the centred and of the whole kernel."""
        if trace <= 1e-5 * whole:
            raise _NothingCorrelatesError
        return self._settings.kappa * trace / count

    def _correlate(self, fitted_LL: Floats, labels_LL: Floats, count: int) -> Floats:
        """Solve for w and the correlations; return w scaled by r^(power - 1), (L, E)."""
        trace = float(np.trace(labels_LL))
        if trace <= 0:
            raise _NothingCorrelatesError
        kappa = self._settings.kappa * trace / count
        squared_L, vectors_LL = eigh((fitted_LL + fitted_LL.T) / 2, labels_LL + kappa * np.eye(len(labels_LL)))
        squared_L, vectors_LL = squared_L[::-1], vectors_LL[:, ::-1]
        kept = squared_L > LEAST_CORRELATION**2
        if not kept.any():
            raise _NothingCorrelatesError
        self.correlations_E = np.sqrt(squared_L[kept])
        self._labels_LE = np.asarray(vectors_LL[:, kept])
        return np.asarray(self._labels_LE * self.correlations_E ** (self._settings.power - 1))

    def _keep(self, dual_RE: Floats, offset_E: Floats) -> None:
        self._dual_RE, self._offset_E = dual_RE.astype(np.float32), offset_E.astype(np.float32)


def draw_landmarks(features_ND: Features, count: int, seed: int) -> NDArray[np.intp]:
    """Return rows drawn at random, (count,) or all there are: by a hash of what is in them, so that order is free."""
    key = seed.to_bytes(8, "little", signed=True)
    contiguous = (np.ascontiguousarray(features_BD, np.float32) for (features_BD,) in blocks(features_ND))
    rows = (row_D.data for features_BD in contiguous for row_D in features_BD)
    digests = b"".join(hashlib.blake2b(row, digest_size=8, key=key).digest() for row in rows)
    return np.argsort(np.frombuffer(digests, np.uint64), kind="stable")[:count]


_last: tuple[bytes, SemanticSpace] | None = None


def space_of(features_ND: Features, targets_NL: Targets, settings: SpaceSettings) -> SemanticSpace:
    """Return the space of some data; the last one made is kept, for methods that differ only in what follows it."""
    global _last
    digest = hashlib.blake2b(repr((settings, features_ND.shape, targets_NL.shape)).encode())
    for arrays in blocks(features_ND, targets_NL):
        for array in arrays:
            digest.update(np.ascontiguousarray(array).data)
    key = digest.digest()
    if _last is None or _last[0] != key:
        # before the next is made, for its memory
        _last = None
        _last = key, SemanticSpace(features_ND, targets_NL, settings)
    return _last[1]
