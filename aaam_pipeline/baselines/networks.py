"""BCE and WARP, networks of one hidden layer over fixed features; and how all compared networks are trained.

Shapes: N training images, B images of a batch, D features, H hidden units, L labels.

WARP's sources: Weston, Bengio and Usunier 2011, "WSABIE" (Algorithm 1); Gong et al. 2013, "Deep convolutional ranking
for multilabel image annotation" (section 3.2, 3), for images with several labels.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from aaam_pipeline.baselines.base import Features, Method, Scale, Targets, standardisation
from aaam_pipeline.core.errors import TrainingError, UsageError
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.formats.calibration import sigmoid
from aaam_pipeline.models.warp import warp_loss


@dataclass(eq=False, kw_only=True)
class GradientMethod(Method):
    """A network trained by Adam on drawn batches, with a learning rate that falls along half a cosine.

    On a GPU where there is one. The same seed gives the same weights, on one machine and with one number of threads.
    """

    ordered = True
    # the largest norm of a gradient
    clip: ClassVar[float] = float("inf")

    dropout: float = 0.5
    lr: float = 1e-3
    weight_decay: float = 1e-5
    epochs: int = 20
    batch_size: int = 64
    seed: int = 0

    @abstractmethod
    def _network(self, features_ND: Features, targets_NL: Targets) -> nn.Module:
        """Return the network that is to be trained."""

    @abstractmethod
    def _loss(self, features_BD: Features, targets_BL: Targets, generator: torch.Generator) -> Tensor:
        """Return the loss of `network_` averaged over a batch; `generator`, on the CPU, for what is random in it."""

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not 0 <= self.dropout < 1 or not self.lr > 0:
            raise UsageError(f"{self}: epochs and batch_size >= 1, 0 <= dropout < 1 and lr > 0 are needed")
        # all randomness of this fit, and none outside of it
        with torch.random.fork_rng():
            torch.manual_seed(derive(self.seed, type(self).__name__))
            device = "cuda" if torch.cuda.is_available() else "cpu"
            self.network_: Any = self._network(features_ND, targets_NL).to(device).train()
            self._descend(features_ND, targets_NL)
        self.network_.eval()

    def _descend(self, features_ND: Features, targets_NL: Targets) -> None:
        parameters = list(self.network_.parameters())
        optimizer = torch.optim.Adam(parameters, lr=self.lr, weight_decay=self.weight_decay, fused=True)
        batches = -(-len(features_ND) // self.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs * batches)
        generator = torch.Generator().manual_seed(derive(self.seed, "batches"))
        for _ in range(self.epochs):
            order_N = torch.randperm(len(features_ND), generator=generator).numpy()
            for rows_B in np.array_split(order_N, batches):
                optimizer.zero_grad()
                loss = self._loss(np.asarray(features_ND[rows_B], np.float32), targets_NL[rows_B], generator)
                loss.backward()  # type: ignore[no-untyped-call]
                if self.clip < float("inf"):
                    nn.utils.clip_grad_norm_(parameters, self.clip)
                optimizer.step()
                schedule.step()
        if not all(bool(each.isfinite().all()) for each in parameters):
            raise TrainingError(f"{self}: the weights are no numbers any more; use a smaller lr")

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        """Return an array on the network's device."""
        return torch.tensor(array, device=next(self.network_.parameters()).device)


@dataclass(eq=False, kw_only=True)
class Perceptron(GradientMethod):
    """VGG16's last fully connected layers: dropout, a hidden layer, ReLU, dropout, the labels; over scaled features.

    hidden: units of the hidden layer (0: there is none). A subclass has the loss, to which unknown labels add nothing.
    """

    partial_labels = True

    hidden: int = 512

    @abstractmethod
    def _logits_loss(self, logits_BL: Tensor, targets_BL: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss averaged over the batch."""

    def _loss(self, features_BD: Features, targets_BL: Targets, generator: torch.Generator) -> Tensor:
        logits_BL = self.network_(self._tensor(features_BD))
        return self._logits_loss(logits_BL, self._tensor(targets_BL).float(), generator)

    def _network(self, features_ND: Features, targets_NL: Targets) -> nn.Module:
        if self.hidden < 0:
            raise UsageError(f"{self}: hidden must be at least 0")
        layers: list[nn.Module] = [_Standardise(standardisation(features_ND)), nn.Dropout(self.dropout)]
        if self.hidden:
            layers += [nn.Linear(self.dimension_, self.hidden), nn.ReLU(inplace=True), nn.Dropout(self.dropout)]
        output = nn.Linear(self.hidden or self.dimension_, self.labels_)
        # every label starts at its prior
        counts_L, known_L = (torch.from_numpy((targets_NL >= least).sum(0, dtype=np.float32)) for least in (1, 0))
        output.bias.data = torch.log(counts_L + 0.5) - torch.log(known_L - counts_L + 0.5)
        return nn.Sequential(*layers, output)

    @torch.inference_mode()
    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        logits_BL: NDArray[np.floating] = self.network_(self._tensor(features_BD)).cpu().numpy()
        return logits_BL


class _Standardise(nn.Module):
    """Subtract a mean and divide by a deviation, both (D,)."""

    mean_D: Tensor
    deviation_D: Tensor

    def __init__(self, scale: Scale) -> None:
        super().__init__()
        self.register_buffer("mean_D", torch.from_numpy(scale.mean_D.astype(np.float32)))
        self.register_buffer("deviation_D", torch.from_numpy(scale.deviation_D.astype(np.float32)))

    def forward(self, features_BD: Tensor) -> Tensor:
        return (features_BD - self.mean_D) / self.deviation_D


class Bce(Perceptron):
    """Binary cross-entropy summed over labels, averaged over the batch (Eq. 1); scores are probabilities.

    Deviations: the last layers only, over fixed features. The paper's own baseline trains the whole network: this is
    the phase `bce` of training without the attention layer, in the ablation.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"hidden": [512, 1024], "epochs": [10, 20, 40]}

    def _logits_loss(self, logits_BL: Tensor, targets_BL: Tensor, generator: torch.Generator) -> Tensor:
        known_BL = (targets_BL >= 0).to(logits_BL.dtype)
        wanted_BL = targets_BL.clamp(min=0)
        return binary_cross_entropy_with_logits(logits_BL, wanted_BL, known_BL, reduction="sum") / len(logits_BL)

    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        return sigmoid(super()._scores(features_BD))


@dataclass(eq=False, kw_only=True)
class Warp(Perceptron):
    """The WARP loss with a margin; scores are real numbers that rank labels.

    Deviations: the last layers only, over fixed features; an image's positive labels are all used in every step, as
    Gong et al. do it, where WSABIE draws one. The phase `warp` of training trains the whole network with the same loss.
    """

    grid: ClassVar[dict[str, list[Any]]] = {"margin": [0.3, 1.0], "epochs": [10, 20, 40]}

    margin: float = 1.0

    def _logits_loss(self, logits_BL: Tensor, targets_BL: Tensor, generator: torch.Generator) -> Tensor:
        return warp_loss(logits_BL, targets_BL, self.margin, generator)
