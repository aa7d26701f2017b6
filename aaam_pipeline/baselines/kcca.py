"""Kernel CCA: labels by their similarity to the image in the semantic space, and any other method in that space.

T. Uricchio, L. Ballan, L. Seidenari, A. Del Bimbo: Automatic image annotation via label transfer in the semantic space.
Pattern Recognition 71, 2017. The space, its equations and their deviations: semantic.py.

Shapes: N training images, B images of a block, D features, L labels, E dimensions of the space.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.baselines import registry
from aaam_pipeline.baselines.base import Features, Method, Targets
from aaam_pipeline.baselines.nearest import to_unit
from aaam_pipeline.baselines.semantic import EXACT, SpaceSettings, space_of
from aaam_pipeline.baselines.tuning import combinations
from aaam_pipeline.core.errors import UsageError

KAPPAS = [0.3, 1.0, 3.0]


class _InSpace(SpaceSettings, Method):
    """What both share: the settings of the space are hyper-parameters."""

    def plan(self, images: int, dimension: int, labels: int) -> str:
        """Return what the kernel takes, or that it is approximated."""
        if images <= EXACT:
            return f"kernel CCA: exact, with a kernel of {images:,} x {images:,}: {images**2 * 8 / 1e9:.1f} GB"
        return f"kernel CCA: above {EXACT:,} training images approximated, Nystroem with {self.landmarks:,} landmarks"

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        settings = SpaceSettings(**{each.name: getattr(self, each.name) for each in fields(SpaceSettings)})
        self.space_ = space_of(features_ND, targets_NL, settings)
        self.correlations_ = self.space_.correlations_E


class Kcca(_InSpace):
    """Cross-modal retrieval: a label's score is the cosine between the image and the label in the space.

    The label is represented by the label vector that has it alone; labels are not transferred from neighbours.

    Deviations: those of the space (semantic.py). A label that no training image has, or that all have, is not
    in it: its score is -1 or 1. Where nothing correlates, scores are the labels' frequencies.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"kappa": [*KAPPAS, 10.0]}

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        super()._fit(features_ND, targets_NL)
        self.label_units_ = to_unit(self.space_.project_labels(np.eye(targets_NL.shape[1])).astype(np.float32))

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        share_L = self.space_.mean_L
        if not self.correlations_.any():
            return np.broadcast_to(share_L, (len(features_BD), len(share_L)))
        cosine_BL = to_unit(self.space_.project(features_BD)) @ self.label_units_.T
        return np.where((share_L > 0) & (share_L < 1), cosine_BL, np.where(share_L > 0, 1, -1))


@dataclass(eq=False, kw_only=True)
class KccaThen(_InSpace):
    """Another method, `base`, that is given coordinates in the space instead of features.

    base: the name of a registered method; base_params: its hyper-parameters, where they are not the defaults. Training
    images are projected by their features, as test images are: their labels shape the space, not their coordinates.

    Deviations: those of the space (semantic.py) and of the base.
    """

    base: str = "knn"
    base_params: dict[str, Any] | None = None

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        if self.base.startswith("kcca"):
            raise UsageError(f"base must be a method over features, not {self.base!r}")
        base = registry.create(self.base, **(self.base_params or {}))
        super()._fit(features_ND, targets_NL)
        self.base_ = base.fit(self.space_.train_NE, targets_NL)

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        return self.base_.predict_scores(self.space_.project(features_BD))

    @property
    def grid(self) -> dict[str, list[Any]]:  # type: ignore[override]
        """Return the grid: `kappa`, and every combination of the base's own grid."""
        return {"kappa": KAPPAS, "base_params": combinations(registry.create(self.base).grid)}
