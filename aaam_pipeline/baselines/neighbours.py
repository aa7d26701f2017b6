"""kNN, 2PKNN and TagRel: labels are carried over from the training images that look alike.

Shapes: N training images, B images of a block, D features, L labels.

Sources: for kNN Uricchio et al. 2017, "Automatic image annotation via label transfer in the semantic space"; for 2PKNN
Verma and Jawahar 2012, "Image annotation using metric learning in semantic neighbourhoods", and their longer paper of
2017, "Image annotation by propagating labels from semantic neighbourhoods"; for TagRel Li, Snoek and Worring 2009,
"Learning social tag relevance by neighbor voting" (IEEE Trans. Multimedia 11).
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline.baselines.base import Features, Method, Targets, blocks
from aaam_pipeline.core.errors import UsageError

# distances of a block: 256 MB
CELLS = 2**26
SMALLEST_SQUARE, SMALLEST = float(np.finfo(np.float32).tiny), 1e-30


class NeighbourMethod(Method):
    """What looks at the training images themselves: keeps them, not copied, and their labels.

    k: neighbours. unit: measure distances between features scaled to length 1, else as they are.
    """

    k: int
    unit: bool

    def plan(self, images: int, dimension: int, labels: int) -> str:
        """Return what distances to all training images cost."""
        return f"fit keeps the features where they are; each image is compared with all {images:,}"

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        if self.k < 1:
            raise UsageError(f"{type(self).__name__}: k must be at least 1, not {self.k}")
        self.features_ND_ = features_ND
        self.squared_N_ = np.concatenate([_squared_lengths(features_BD) for (features_BD,) in blocks(features_ND)])
        self.targets_NL_ = np.ascontiguousarray(targets_NL, np.float32)

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        parts = blocks(features_BD, rows=max(CELLS // len(self.features_ND_), 1))
        return np.concatenate([self._votes(self._squared_distances(part_BD)) for (part_BD,) in parts])

    def _squared_distances(self, features_BD: Features) -> NDArray[np.float32]:
        """Return the squared Euclidean distances to all training images, (B, N)."""
        own_B1 = _squared_lengths(features_BD)[:, None]
        squared_BN: NDArray[np.float32] = features_BD @ self.features_ND_.T
        if self.unit:
            squared_BN /= np.sqrt(np.maximum(own_B1, SMALLEST_SQUARE))
            squared_BN /= np.sqrt(np.maximum(self.squared_N_, SMALLEST_SQUARE))
            np.subtract(2, 2 * squared_BN, out=squared_BN)
        else:
            squared_BN *= -2
            squared_BN += own_B1
            squared_BN += self.squared_N_
        # rounding may have made it less than nothing
        return np.maximum(squared_BN, 0, out=squared_BN)

    @abstractmethod
    def _votes(self, squared_BN: NDArray[np.float32]) -> NDArray[np.floating]:
        """Return the scores of a block of images, by their squared distances to the training images."""


def _squared_lengths(features_ND: Features) -> NDArray[np.float32]:
    return np.asarray(np.einsum("nd,nd->n", features_ND, features_ND))


def _nearest_mask(squared_BN: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
    """Return which training images are among the k nearest of each image, (B, N).

    All that are as far away as the k-th belong to them, so that their order in the training set does not matter. With
    k >= N they are all images.
    """
    if k >= squared_BN.shape[1]:
        return np.ones(squared_BN.shape, np.bool_)
    # torch's works on all cores; NumPy's partition rearranges a copy of all distances, on one
    nearest_Bk = torch.from_numpy(squared_BN).topk(k, largest=False, sorted=False).values
    return np.asarray(squared_BN <= nearest_Bk.amax(1, keepdim=True).numpy())


@dataclass(eq=False)
class Knn(NeighbourMethod):
    """kNN voting: the share of the k nearest training images that have the label.

    The nearest are by L2 distance (the paper's section 5.3, 7). With k >= N every image gets the label prior.

    Deviations: features are scaled to length 1 (`unit`), as is usual for CNN features; images as far away as the k-th
    all vote; `weights: distance`, which the source has not, gives a neighbour at squared distance d the vote
    exp(-d / mean d of the image's neighbours).
    """

    grid: ClassVar[dict[str, list[Any]]] = {"k": [5, 10, 20, 40, 80], "weights": ["uniform", "distance"]}

    k: int = 20
    weights: Literal["uniform", "distance"] = "uniform"
    unit: bool = True

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        if self.weights not in ("uniform", "distance"):
            raise UsageError(f"Knn: weights must be 'uniform' or 'distance', not {self.weights!r}")
        super()._fit(features_ND, targets_NL)

    def _votes(self, squared_BN: NDArray[np.float32]) -> NDArray[np.floating]:
        near_BN = _nearest_mask(squared_BN, self.k)
        votes_BN = near_BN.astype(np.float32)
        if self.weights == "distance":
            mean_B1 = squared_BN.mean(1, where=near_BN, keepdims=True)
            votes_BN *= np.exp(-squared_BN / np.maximum(mean_B1, SMALLEST))
        shares: NDArray[np.floating] = votes_BN @ self.targets_NL_ / votes_BN.sum(1, keepdims=True)
        return shares


@dataclass(eq=False)
class TwoPassKnn(NeighbourMethod):
    """2PKNN of Verma and Jawahar (section 3.1 of both papers), without metric learning.

    First pass: the semantic neighbourhood T_J of image J is the union, over all labels, of the k training images with
    that label that are nearest to J (K1 there): rare labels are represented as well as frequent ones. Second pass:

        P(J | y) = sum over I in T_J of exp(-pi D(J, I)) [I has y]

    `decay` is pi, which the longer paper has; 2PKNN without it is decay = 1. P(y | J) is the same up to a factor, since
    labels are given the same prior there.

    Deviations: D is the L2 distance of one feature (there the mean of 15 distances, or a learnt combination); features
    are scaled to length 1 (`unit`); the sum is divided by that of all exp(-pi D), which changes no order of an image's
    labels but lets scores be compared between images, for mAP; images as far away as the k-th of a label all belong to
    T_J.
    Published figures may be of scores divided by each label's maximum over the test images (docs/methods.md); ours are
    not. A label without a training image has the score 0.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"k": [1, 2, 4, 8], "decay": [10.0, 15.0, 20.0, 30.0, 40.0]}

    k: int = 4
    decay: float = 30.0
    unit: bool = True

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        super()._fit(features_ND, targets_NL)
        self.groups_ = [np.flatnonzero(column_N) for column_N in targets_NL.T]

    def _votes(self, squared_BN: NDArray[np.float32]) -> NDArray[np.floating]:
        chosen_BN = np.zeros(squared_BN.shape, np.bool_)
        for group in self.groups_:
            if len(group):
                rows, columns = np.nonzero(_nearest_mask(np.take(squared_BN, group, axis=1), self.k))
                chosen_BN[rows, group[columns]] = True
        rows, columns = np.nonzero(chosen_BN)
        # the nearest has the weight 1: the factor falls out, and nothing is rounded to 0
        further = np.sqrt(squared_BN[rows, columns]) - np.sqrt(squared_BN.min(1))[rows]
        weights_BN = np.zeros_like(squared_BN)
        weights_BN[rows, columns] = np.exp(-self.decay * further)
        scores: NDArray[np.floating] = weights_BN @ self.targets_NL_
        scores /= np.maximum(weights_BN.sum(1, keepdims=True), SMALLEST)
        return scores


@dataclass(eq=False)
class TagRel(NeighbourMethod):
    """TagRel: a label is relevant if more of the neighbours have it than would by chance.

        tagRelevance(w, I, k) = n_w[N(I, k)] - Prior(w, k),    Prior(w, k) = k |L_w| / N

    where n_w counts the neighbours of I with label w, and |L_w| all training images with it. Scores are this divided by
    k: real numbers in [-1, 1], 0 where there is no evidence.

    Deviations: our images have no users, of whom each has one vote there; relevance is not cut off at 1 vote from
    below, since labels are predicted and not only ranked among those that a user gave; features are scaled to length 1
    (`unit`); images as far away as the k-th all vote. With k >= N all scores are 0.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"k": [5, 10, 20, 40, 80]}

    k: int = 20
    unit: bool = True

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        super()._fit(features_ND, targets_NL)
        self.prior_L_ = targets_NL.mean(0, dtype=np.float64)

    def _votes(self, squared_BN: NDArray[np.float32]) -> NDArray[np.floating]:
        votes_BN = _nearest_mask(squared_BN, self.k).astype(np.float32)
        relevance: NDArray[np.floating] = votes_BN @ self.targets_NL_ / votes_BN.sum(1, keepdims=True) - self.prior_L_
        return relevance
