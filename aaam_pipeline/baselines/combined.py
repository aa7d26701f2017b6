"""Combined: a model's scores, drawn towards the labels of the training images that look alike.

The AAAM paper (introduction) names three dependencies: image/label, which a classifier has, label/label, which AAAM
adds, and image/image. This method adds the third to any of them. Its form is the usual one of refining a classifier
with neighbours, a weighted mean; the paper itself gives none.

Shapes: N training images, B images of a block, D features, L labels, K neighbours.

    score_iw = (1 - weight) p_iw + weight * sum_j c_ij y_jw / sum_j c_ij

p: the model's probabilities; j: the K nearest training images by cosine c, those below 0 counting 0.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.baselines import registry
from aaam_pipeline.baselines.base import Features, Method, Targets
from aaam_pipeline.baselines.nearest import Nearest
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats.calibration import sigmoid

ROUNDING = 1e-5


@dataclass(eq=False, kw_only=True)
class Head(Method):
    """The last layer of a trained bundle, over its own embedding: AAAM's scores, from features. Nothing is learnt."""

    model: str

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        import torch

        from aaam_pipeline.models import bundle

        classifier = bundle.load(Path(self.model), torch.device("cpu")).network.classifier
        self.weights_LD = classifier.weight.detach().numpy()
        self.biases_L = classifier.bias.detach().numpy()
        expected, found = self.weights_LD.shape, (targets_NL.shape[1], features_ND.shape[1])
        if expected != found:
            raise UsageError(
                f"{self.model} has {expected[0]} labels and an embedding of {expected[1]}, the features are {found[1]} "
                f"numbers an image for {found[0]} labels: compute them with this bundle (stage features, --model)"
            )

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        return sigmoid(features_BD @ self.weights_LD.T + self.biases_L)


@dataclass(eq=False, kw_only=True)
class Combined(Method):
    """The mean above, of a model's probabilities and its neighbours' labels.

    base: a registered method that gives probabilities; base_params: its hyper-parameters, where they are not the
    defaults. model: a trained bundle whose embedding the features are; its own last layer scores then, not `base`.
    k: neighbours; all training images where there are fewer. weight: of the neighbours, 0 to 1.

    Deviations: the AAAM paper describes no such method; see the module. `metrics.neighbours` draws an image's scores
    towards those of the images around it in the same collection; here the neighbours are training images with their
    true labels, so that an image's scores depend on nothing else that is scored.
    """

    # the base may be one
    ordered = True
    grid: ClassVar[dict[str, list[Any]]] = {"weight": [0.0, 0.25, 0.5, 0.75]}

    base: str = "bce"
    base_params: dict[str, Any] | None = None
    model: str | None = None
    k: int = 40
    weight: float = 0.4

    def plan(self, images: int, dimension: int, labels: int) -> str:
        """Return what the neighbours take beside the base."""
        return (
            f"fit copies {images * dimension * 4 / 1e9:.1f} GB of features; each image is compared with all {images:,}"
        )

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        if self.k < 1 or not 0 <= self.weight <= 1:
            raise UsageError(f"k must be at least 1 and weight from 0 to 1, not {self.k} and {self.weight}")
        if self.base == "combined":
            raise UsageError("base must be another method than combined")
        base = Head(model=self.model) if self.model else registry.create(self.base, **(self.base_params or {}))
        self.base_ = base.fit(features_ND, targets_NL)
        self.nearest_ = Nearest(features_ND, unit=True)
        self.targets_ = np.asarray(targets_NL)

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        scores_BL = self.base_.predict_scores(features_BD)
        # a share may be rounded to just above 1
        if scores_BL.size and (scores_BL.min() < -ROUNDING or scores_BL.max() > 1 + ROUNDING):
            raise UsageError(f"the scores of {self.base} are no probabilities: take another base, such as bce")
        mean_BL = (1 - self.weight) * scores_BL + self.weight * self.evidence(features_BD)
        return np.clip(mean_BL, 0, 1)

    def evidence(self, features_BD: Features) -> NDArray[np.floating]:
        """Return the neighbours' part, (B, L): the share of their cosines that falls on those with the label."""
        ids_BK, distances_BK = self.nearest_.search(features_BD, self.k)
        # of features of length 1, the squared distance is 2 - 2 cosines
        cosines_BK = np.maximum(1 - distances_BK**2 / 2, 0)
        shares_BK = cosines_BK / np.maximum(cosines_BK.sum(1, keepdims=True), 1e-12)
        evidence_BL = np.zeros((len(features_BD), self.targets_.shape[1]))
        # neighbour by neighbour: all at once would take K times the memory
        for ids_B, shares_B in zip(ids_BK.T, shares_BK.T, strict=True):
            evidence_BL += shares_B[:, None] * self.targets_[ids_B]
        return evidence_BL
