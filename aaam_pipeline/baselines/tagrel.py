"""TagRel: a label is relevant if more of the neighbours have it than would by chance.

Shapes: N training images, B images of a block, L labels.

Source: Li, Snoek and Worring 2009, "Learning social tag relevance by neighbor voting" (IEEE Trans. Multimedia 11):

    tagRelevance(w, I, k) = n_w[N(I, k)] - Prior(w, k),    Prior(w, k) = k |L_w| / N

where n_w counts the neighbours of I with label w, and |L_w| all training images with it.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.baselines.base import Features, Targets
from aaam_pipeline.baselines.distances import nearest_mask
from aaam_pipeline.baselines.neighbours import NeighbourMethod


class TagRel(NeighbourMethod):
    """Neighbour votes minus the prior, divided by k: a real number in [-1, 1], 0 where there is no evidence.

    Deviations: our images have no users, of whom each has one vote there; relevance is not cut off at 1 vote from
    below, since labels are predicted and not only ranked among those that a user gave; features are scaled to length 1
    (`unit`); images as far away as the k-th all vote. With k >= N all scores are 0.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"k": [5, 10, 20, 40, 80]}

    def __init__(self, k: int = 20, unit: bool = True) -> None:
        """Set the number of neighbours, and whether features are scaled to length 1."""
        self.k, self.unit = k, unit

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        super()._fit(features_ND, targets_NL)
        self.prior_L_ = targets_NL.mean(0, dtype=np.float64)

    def _votes(self, squared_BN: NDArray[np.float32]) -> NDArray[np.floating]:
        votes_BN = nearest_mask(squared_BN, self.k).astype(np.float32)
        relevance: NDArray[np.floating] = votes_BN @ self.targets_NL_ / votes_BN.sum(1, keepdims=True) - self.prior_L_
        return relevance
