"""Softmax, logistic regression and SVM: one linear function of the features for each label.

Shapes: N training images, B images of a block, D features, L labels.

All minimise the mean of a convex loss over images plus alpha / 2 |W|^2, W being the weights without the biases.
Features are standardised (mean 0, deviation 1 over the training images), so that one alpha fits features of any
backbone; this is done to W and b, and the features are read block by block where they lie.

The losses without a closed solution are minimised for all labels together by SciPy's L-BFGS, in 60 to 300 passes over
the features, more for a smaller alpha. It moves in coordinates Z in which all directions curve about equally:

    W = E (Z / sqrt(c v + alpha))        E, v: eigenvectors and eigenvalues of the features' covariance; c: curvatures

(a hundred steps in W itself can end far from the optimum), and ends where a step gains less than `GAIN` of the loss
at the start.

An unknown pair of image and label adds no loss: the line of a label is fitted to the images of which it is known.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, solve
from scipy.optimize import minimize
from scipy.special import log_softmax

from aaam_pipeline.baselines.base import Features, Method, Targets, Wide, blocks, standardisation
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats.calibration import sigmoid

GAIN = 1e-9
FAR = 1000.0


class _Coordinates(NamedTuple):
    """The coordinates Z above, as one flat vector with those of the biases before them."""

    turned_DD: Wide
    steps_DL: Wide
    steps_L: Wide

    def line(self, flat: Wide) -> tuple[Wide, Wide]:
        """Return W, (D, L), and the biases, (L,)."""
        labels = len(self.steps_L)
        return self.turned_DD @ (flat[labels:].reshape(-1, labels) * self.steps_DL), flat[:labels] * self.steps_L

    def slope(self, by_weights_DL: Wide, by_biases_L: Wide) -> Wide:
        """Return the gradient with respect to the coordinates."""
        return np.concatenate([by_biases_L * self.steps_L, (self.turned_DD.T @ by_weights_DL * self.steps_DL).ravel()])


@dataclass(eq=False)
class _Linear(Method):
    """Scores W x + b, of a differentiable loss minimised by L-BFGS from W = 0 and biases that give labels their prior.

    alpha: the weight of the penalty. iterations: the most of L-BFGS.
    """

    partial_labels = True

    alpha: float = 0.01
    iterations: int = 1000

    @abstractmethod
    def _loss(self, logits_BL: Wide, targets_BL: Wide) -> tuple[float, Wide]:
        """Return the loss summed over known pairs, and its gradient, (B, L)."""

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        if not self.alpha > 0:
            raise UsageError(f"{type(self).__name__}: alpha must be above 0, not {self.alpha}")
        self.scale_ = standardisation(features_ND)
        self.weights_DL_, self.biases_L_ = self._solve(features_ND, targets_NL)

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        return features_BD @ self.weights_DL_ + self.biases_L_

    def _solve(self, features_ND: Features, targets_NL: Targets) -> tuple[Wide, Wide]:
        """Return weights (D, L) and biases (L,), for features as they are."""
        images, labels = targets_NL.shape
        counts_L, known_L = ((targets_NL >= least).sum(0, dtype=np.float64) for least in (1, 0))
        prior_L = np.log(counts_L + 0.5) - np.log(known_L - counts_L + 0.5)
        z = self._coordinates(features_ND, self._curves(sigmoid(prior_L)))

        mean_D, deviation_D1 = self.scale_.mean_D.astype(np.float32), self.scale_.deviation_D[:, None]

        def value(flat: Wide) -> tuple[float, Wide]:
            weights_DL, biases_L = z.line(flat)
            total = self.alpha / 2 * float(np.square(weights_DL).sum())
            slope_DL, slope_L = self.alpha * weights_DL, np.zeros(labels)
            inner_DL = (weights_DL / deviation_D1).astype(np.float32)
            for features_BD, targets_BL in blocks(features_ND, targets_NL):
                # without their mean first: where that is large, what is left would be lost in rounding
                centred_BD = features_BD - mean_D
                loss, error_BL = self._loss(centred_BD @ inner_DL + biases_L, targets_BL.astype(np.float64))
                error_BL /= images
                total += loss / images
                slope_DL += centred_BD.T @ error_BL.astype(np.float32) / deviation_D1
                slope_L += error_BL.sum(0)
            return total, z.slope(slope_DL, slope_L)

        def share(flat: Wide) -> tuple[float, Wide]:
            total, slope = value(flat)
            return total / unit, slope / unit

        start = np.concatenate([self._biases(prior_L) / z.steps_L, np.zeros(z.steps_DL.size)])
        unit = value(start)[0] or 1.0
        stop = {"maxiter": self.iterations, "maxfun": 2 * self.iterations, "ftol": GAIN, "gtol": 0.0}
        found = minimize(share, start, jac=True, method="L-BFGS-B", options=stop).x
        return self.scale_.folded(*z.line(found))

    def _coordinates(self, features_ND: Features, curves_L: Wide) -> _Coordinates:
        variances_D, turned_DD = eigh(self._covariance(features_ND), overwrite_a=True)
        steps_DL = 1 / np.sqrt(np.outer(np.maximum(variances_D, 0), curves_L) + self.alpha)
        return _Coordinates(turned_DD, steps_DL, 1 / np.sqrt(curves_L))

    def _covariance(self, features_ND: Features) -> Wide:
        """Return the mean of x x' over standardised images, (D, D)."""
        covariance_DD = np.zeros((features_ND.shape[1],) * 2)
        for (features_BD,) in blocks(features_ND):
            scaled_BD = self.scale_(features_BD)
            covariance_DD += scaled_BD.T @ scaled_BD
        return covariance_DD / len(features_ND)

    def _biases(self, prior_L: Wide) -> Wide:
        """Return the biases to start from, of the log odds of the labels."""
        return prior_L

    def _curves(self, shares_L: Wide) -> Wide:
        """Return about how much the loss of each label curves, of the shares of images that have it."""
        return shares_L * (1 - shares_L)


class Softmax(_Linear):
    """Multinomial logistic regression on label distributions: the softmax loss of Gong et al. 2013 (section 3.2, 1).

    The target of an image with c labels is 1 / c for each of them; the loss is the cross-entropy of softmax(W x + b)
    to it. Scores are the probabilities, which sum to 1. The paper has the row from Wang et al. 2016.

    Deviations: the last layer only, over fixed features, where the sources train the whole network; with an L2 penalty;
    an image without a label adds no loss. Labels that are unknown of an image are left out of its softmax.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"alpha": [0.001, 0.003, 0.01, 0.03, 0.1]}

    def _loss(self, logits_BL: Wide, targets_BL: Wide) -> tuple[float, Wide]:
        relevant_BL = np.maximum(targets_BL, 0)
        wanted_BL = relevant_BL / np.maximum(relevant_BL.sum(1, keepdims=True), 1)
        # far below all others: nothing of the softmax, and no 0 times infinity
        logs_BL = log_softmax(np.where(targets_BL >= 0, logits_BL, logits_BL.min() - FAR), axis=1)
        labelled_B1 = relevant_BL.any(1, keepdims=True)
        return -float((wanted_BL * logs_BL).sum()), (np.exp(logs_BL) - wanted_BL) * labelled_B1

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        return np.asarray(np.exp(log_softmax(super()._scores(features_BD), axis=1)))


class Logistic(_Linear):
    """Logistic regression of each label against all others; scores are its probabilities.

    The row is from Uricchio et al. 2017 by the paper's citation, which has no details of it.

    Deviations: none that could be known. A label without a training image gets probabilities near 0.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"alpha": [0.001, 0.003, 0.01, 0.03, 0.1]}

    def _loss(self, logits_BL: Wide, targets_BL: Wide) -> tuple[float, Wide]:
        known_BL, relevant_BL = targets_BL >= 0, np.maximum(targets_BL, 0)
        loss = float(((np.logaddexp(0, logits_BL) - relevant_BL * logits_BL) * known_BL).sum())
        return loss, (sigmoid(logits_BL) - relevant_BL) * known_BL

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        return sigmoid(super()._scores(features_BD))


@dataclass(eq=False)
class Svm(_Linear):
    """A linear classifier for each label, of targets -1 and 1; scores are W x + b, real numbers.

    `loss: least_squares` is "L2 regularized least square regression" as the paper puts it (section 5.3, 4), with its
    closed solution (X'X / N + alpha I) W = X'Y / N. `squared_hinge`, max(0, 1 - y f)^2, is a support vector machine's,
    as LIBLINEAR has it, which Uricchio et al. 2017 use.

    Deviations: none, but that alpha is the same for all labels. A label without a training image has the score -1.
    """

    grid: ClassVar[dict[str, list[Any]]] = {
        "loss": ["least_squares", "squared_hinge"],
        "alpha": [0.03, 0.1, 0.3, 1.0, 3.0],
    }

    alpha: float = 1.0
    loss: Literal["least_squares", "squared_hinge"] = "least_squares"

    def _solve(self, features_ND: Features, targets_NL: Targets) -> tuple[Wide, Wide]:
        if self.loss not in ("least_squares", "squared_hinge"):
            raise UsageError(f"Svm: loss must be 'least_squares' or 'squared_hinge', not {self.loss!r}")
        # where labels are unknown, each is fitted to other images, and there is no common closed solution
        if self.loss == "squared_hinge" or (targets_NL < 0).any():
            return super()._solve(features_ND, targets_NL)
        images, dimension = features_ND.shape
        moment_DL = np.zeros((dimension, targets_NL.shape[1]))
        biases_L = 2 * targets_NL.mean(0, dtype=np.float64) - 1
        for features_BD, targets_BL in blocks(features_ND, targets_NL):
            moment_DL += self.scale_(features_BD).T @ (2.0 * targets_BL - 1 - biases_L).astype(np.float32) / images
        covariance_DD = self._covariance(features_ND)
        covariance_DD[np.diag_indices(dimension)] += self.alpha
        # symmetric and positive definite
        weights_DL: Wide = solve(covariance_DD, moment_DL, assume_a="pos")
        return self.scale_.folded(weights_DL, biases_L)

    def _biases(self, prior_L: Wide) -> Wide:
        return np.full_like(prior_L, -1)

    def _curves(self, shares_L: Wide) -> Wide:
        return np.full_like(shares_L, 1.0)

    def _loss(self, logits_BL: Wide, targets_BL: Wide) -> tuple[float, Wide]:
        signs_BL = (2 * targets_BL - 1) * (targets_BL >= 0)
        if self.loss == "least_squares":
            missing_BL = np.abs(signs_BL) * (signs_BL - logits_BL)
            return float(np.square(missing_BL).sum()) / 2, -missing_BL
        missing_BL = np.maximum(0, np.abs(signs_BL) - signs_BL * logits_BL)
        return float(np.square(missing_BL).sum()), -2 * signs_BL * missing_BL
