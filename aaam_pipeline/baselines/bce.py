"""BCE: the paper's baseline, a network trained with binary cross-entropy (Eq. 1)."""

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from aaam_pipeline.baselines.base import Features
from aaam_pipeline.baselines.perceptron import Perceptron
from aaam_pipeline.formats.calibration import sigmoid


class Bce(Perceptron):
    """Binary cross-entropy summed over labels, averaged over the batch (Eq. 1); scores are probabilities.

    Deviations: the last layers only, over fixed features. The paper's own baseline trains the whole network: this is
    the phase `bce` of training without the attention layer, in the ablation.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"hidden": [512, 1024], "epochs": [10, 20, 40]}

    def _loss(self, logits_BL: Tensor, targets_BL: Tensor, generator: torch.Generator) -> Tensor:
        return binary_cross_entropy_with_logits(logits_BL, targets_BL, reduction="sum") / len(logits_BL)

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        return sigmoid(super()._scores(features_BD))
