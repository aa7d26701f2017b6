"""TagProp: labels from weighted nearest neighbours, the weights learnt by maximum likelihood.

M. Guillaumin, T. Mensink, J. Verbeek, C. Schmid: TagProp: Discriminative metric learning in nearest neighbor models for
image auto-annotation. ICCV 2009, section 3.

Shapes: N training images, B images of a block, D features, L labels, K neighbours, P parameters of the weights.

The model, for image i with neighbours j of weight pi_ij (which sum to 1) and label w:

    x_iw = sum_j pi_ij y_jw                                         the neighbours that have the label
    p(y_iw = 1) = (1 - eps) x_iw + eps / 2                          without sigmoid
    p(y_iw = 1) = 1 / (1 + exp(-(alpha_w x_iw + beta_w)))           with: lifts the rare labels
    pi_ik = softmax over the ranks k of -gamma_k                    weights by rank: one number for each of K ranks
    pi_ij = softmax over the neighbours j of -theta d(i, j)         weights by distance: theta >= 0 and nothing else

is fitted to L = sum_iw c_iw ln p(y_iw), c_iw = 1 / (labels present) or 1 / (labels absent), over all training images,
each described by its neighbours without itself (leave-one-out). The sigmoids are fitted in turn with the weights.

Deviations, with reasons:
- One distance, Euclidean between features (of unit length unless `unit` is off). The paper combines fifteen base
  distances of hand-made features, with a theta for each (TagProp-ML); here there is one feature vector.
- eps is 1e-3 with the likelihood (1 - eps) x + eps / 2, and rank weights are a softmax: so in the authors' code. The
  paper has gamma_k >= 0 that sum to 1, which is the same set of weights.
- L-BFGS instead of projected gradient descent, Newton for the sigmoids, until a round gains less than 1e-4 of the
  likelihood or after five rounds (the authors' number). The loss is a few tenths and theta changes it in the fourth
  digit: L-BFGS ends where a step gains less than 1e-9, with distances relative to their mean.
- alpha_w >= 0.01 (the paper leaves it free), for a label with one training image never is among that image's
  neighbours: its likelihood is best with a negative alpha, which would turn the label's ranking upside down. A prior as
  weak as 1e-4 on alpha_w and beta_w keeps a label that the neighbours separate perfectly, or that has no positive
  image, finite.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array

from aaam_pipeline.baselines.base import Features, Method, Targets, blocks
from aaam_pipeline.baselines.nearest import Nearest
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats.calibration import sigmoid
from aaam_pipeline.metrics.logistic import LogisticFit

EPS = 1e-3
ROUNDS = 5
GAIN = 1e-4
# of L-BFGS: the least gain of a step, and the largest derivative at the end; the costs of a class make the loss about 1
STOP = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-9, "gtol": 1e-6}
LEAST_ALPHA = 0.01
# strength of the prior on alpha and beta, as a share of one label's part of the likelihood
PRIOR = 1e-4
# what an array of the neighbours of a block of images may take in memory
BLOCK_BYTES = 8 << 20

Floats = NDArray[np.float64]


class Neighbourhood:
    """The neighbours of images, (N, K) ids and distances, and the labels they point to: 0 or 1, (N, L).

    An image has few labels, so only those that it has are looked at. In float64: the loss and its gradient must be
    finer than the tolerances of L-BFGS.
    """

    def __init__(self, ids_NK: NDArray[np.integer], distances_NK: NDArray[np.floating], labels_NL: Targets) -> None:
        self.ids_NK = ids_NK
        self.distances_NK = np.asarray(distances_NK, np.float64)
        self._labels_NL = csr_array(np.asarray(labels_NL, np.float64))
        self._places_TN = _places(np.asarray(labels_NL))
        self._step = max(1, BLOCK_BYTES // (8 * ids_NK.shape[1]))

    def present(self, weights_NK: Floats) -> Floats:
        """Return x: the weight of each image's neighbours that have the label, (N, L)."""
        images, count = self.ids_NK.shape
        ends = np.arange(0, images * count + 1, count)
        shape = images, self._labels_NL.shape[0]
        weights_NN = csr_array((weights_NK.ravel(), self.ids_NK.ravel(), ends), shape=shape)
        return np.asarray((weights_NN @ self._labels_NL).toarray())

    def pull(self, gradient_NL: Floats) -> Floats:
        """Return the derivative with respect to the weights, (N, K), of a function of `present` from that of x."""
        pulled_NK = np.zeros(self.ids_NK.shape)
        for ids_BK, gradient_BL, pulled_BK in blocks(self.ids_NK, gradient_NL, pulled_NK, rows=self._step):
            # one column more, of zeros, is where an image's places end
            padded_Bl = np.pad(gradient_BL, ((0, 0), (0, 1)))
            rows_B1 = np.arange(len(ids_BK))[:, None] * padded_Bl.shape[1]
            for places_N in self._places_TN:
                pulled_BK += padded_Bl.ravel().take(places_N.take(ids_BK) + rows_B1)
        return pulled_NK


def _places(labels_NL: Targets) -> NDArray[np.intp]:
    """Return the ids of each image's labels, then L, (T, N) with T the most labels of an image."""
    rows, columns = np.nonzero(labels_NL)
    counts_N = np.bincount(rows, minlength=len(labels_NL))
    places_TN = np.full((int(counts_N.max(initial=0)), len(labels_NL)), labels_NL.shape[1], np.intp)
    places_TN[np.arange(len(rows)) - np.repeat(counts_N.cumsum() - counts_N, counts_N), rows] = columns
    return places_TN


def neighbour_weights(parameters_P: Floats, distances_NK: Floats, by: str) -> Floats:
    """Return the weights of the neighbours, (N, K), each row summing to 1."""
    energy_NK = -parameters_P * distances_NK if by == "distance" else np.broadcast_to(-parameters_P, distances_NK.shape)
    weights_NK = np.exp(energy_NK - energy_NK.max(1, keepdims=True))
    return np.asarray(weights_NK / weights_NK.sum(1, keepdims=True))


def class_costs(targets_NL: Targets) -> tuple[float, float]:
    """Return c of a label that is present and of one that is absent: all of either kind count 1 together."""
    present = int(np.count_nonzero(targets_NL))
    return 1 / max(present, 1), 1 / max(targets_NL.size - present, 1)


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


def loss(
    parameters_P: Floats, near: Neighbourhood, targets_NL: Targets, by: str, sigmoids: Sigmoids | None
) -> tuple[float, Floats]:
    """Return -L and its gradient with respect to the parameters of the weights, (P,)."""
    weights_NK = neighbour_weights(parameters_P, near.distances_NK, by)
    x_NL = near.present(weights_NK)
    cost_NL = np.where(targets_NL > 0, *class_costs(targets_NL))
    if sigmoids is None:
        p_NL = (1 - EPS) * x_NL + EPS / 2
        slope_NL = np.full_like(p_NL, 1 - EPS)
    else:
        p_NL = sigmoids(x_NL)
        slope_NL = sigmoids.alpha_L * p_NL * (1 - p_NL)
    likelihood_NL = np.maximum(np.where(targets_NL > 0, p_NL, 1 - p_NL), 1e-15)
    sign_NL = np.where(targets_NL > 0, 1.0, -1.0)
    pulled_NK = near.pull(-cost_NL * sign_NL * slope_NL / likelihood_NL)
    # a softmax's derivative, and the energies' with respect to the parameters
    energy_NK = weights_NK * (pulled_NK - (weights_NK * pulled_NK).sum(1, keepdims=True))
    gradient_P = -(energy_NK * near.distances_NK).sum(keepdims=True)[0] if by == "distance" else -energy_NK.sum(0)
    return float(-(cost_NL * np.log(likelihood_NL)).sum()), gradient_P


@dataclass(eq=False, kw_only=True)
class TagProp(Method):
    """TagProp with one distance: see the module.

    k: neighbours; all other training images where there are fewer. More do no harm: the paper's results rise until 200.
    weights: `distance` or `rank`. sigmoid: modulate each label. unit: scale features to unit length first.

    Deviations: those of the module. From one training image nothing can be learnt: its labels are every image's.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"k": [50, 100, 200]}

    k: int = 200
    weights: Literal["distance", "rank"] = "distance"
    sigmoid: bool = True
    unit: bool = True

    def plan(self, images: int, dimension: int, labels: int) -> str:
        """Return what the search for neighbours takes."""
        return (
            f"fit copies {images * dimension * 4 / 1e9:.1f} GB of features and compares all pairs of {images:,} images"
        )

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        if self.weights not in ("distance", "rank"):
            raise UsageError(f"weights must be 'distance' or 'rank', not {self.weights!r}")
        if self.k < 1:
            raise UsageError(f"k must be at least 1, not {self.k}")
        self.nearest_ = Nearest(features_ND, unit=self.unit)
        self.targets_ = np.asarray(targets_NL)
        self.parameters_ = np.zeros(1)
        self.sigmoids_: Sigmoids | None = None
        self.losses_: list[float] = []
        if len(features_ND) > 1:
            self._learn(Neighbourhood(*self.nearest_.others(self.k), self.targets_))

    def _learn(self, near: Neighbourhood) -> None:
        by_distance = self.weights == "distance"
        # the unit that features come in changes neither the steps nor where they end
        unit = float(near.distances_NK.mean()) or 1.0
        near.distances_NK /= unit
        self.parameters_ = np.zeros(1 if by_distance else near.ids_NK.shape[1])
        for _ in range(ROUNDS if self.sigmoid else 1):
            if self.sigmoid:
                x_NL = near.present(neighbour_weights(self.parameters_, near.distances_NK, self.weights))
                self.sigmoids_ = fit_sigmoids(x_NL, self.targets_, *class_costs(self.targets_), start=self.sigmoids_)
            arguments = (near, self.targets_, self.weights, self.sigmoids_)
            bounds = [(0, None)] if by_distance else None
            found = minimize(loss, self.parameters_, arguments, "L-BFGS-B", jac=True, bounds=bounds, options=STOP)
            self.parameters_ = found.x
            self.losses_.append(float(found.fun))
            if len(self.losses_) > 1 and self.losses_[-2] - self.losses_[-1] < GAIN * self.losses_[-1]:
                break
        if by_distance:
            self.parameters_ = self.parameters_ / unit

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        # as many as the weights were learnt for: an image that is no training image has one more to choose from
        count = max(min(self.k, len(self.targets_) - 1), 1)
        near = Neighbourhood(*self.nearest_.search(features_BD, count), self.targets_)
        x_BL = near.present(neighbour_weights(self.parameters_, near.distances_NK, self.weights))
        return (1 - EPS) * x_BL + EPS / 2 if self.sigmoids_ is None else self.sigmoids_(x_BL)
