"""WARP: a network trained with the weighted approximate-rank pairwise loss.

Shapes: B images of a batch, L labels.

Sources: Weston, Bengio and Usunier 2011, "WSABIE" (Algorithm 1); Gong et al. 2013, "Deep convolutional ranking for
multilabel image annotation" (section 3.2, 3), for images with several labels.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from aaam_pipeline.baselines.perceptron import Perceptron
from aaam_pipeline.models.warp import warp_loss


class Warp(Perceptron):
    """The WARP loss; scores are real numbers that rank labels.

    Deviations: the last layers only, over fixed features; an image's positive labels are all used in every step, as
    Gong et al. do it, where WSABIE draws one. The phase `warp` of training trains the whole network with the same loss.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"margin": [0.3, 1.0], "epochs": [10, 20, 40]}

    def __init__(
        self,
        margin: float = 1.0,
        hidden: int = 512,
        dropout: float = 0.5,
        lr: float = 1e-3,
        weight_decay: float = 1e-5,
        epochs: int = 20,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        """Set the margin, and the rest as for `Perceptron`."""
        super().__init__(hidden, dropout, lr, weight_decay, epochs, batch_size, seed)
        self.margin = margin

    def _loss(self, logits_BL: Tensor, targets_BL: Tensor, generator: torch.Generator) -> Tensor:
        return warp_loss(logits_BL, targets_BL, self.margin, generator)
