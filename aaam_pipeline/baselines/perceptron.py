"""A network of one hidden layer over fixed features, trained by gradient descent: what BCE and WARP share.

Shapes: N training images, B images of a batch, D features, H hidden units, L labels.

It represents VGG16's last fully connected layers: dropout, a hidden layer, ReLU, dropout, the labels. Features are
standardised first. Adam, whose learning rate falls along half a cosine. On a GPU where there is one.
"""

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aaam_pipeline.baselines.base import Features, Targets
from aaam_pipeline.baselines.descent import GradientMethod
from aaam_pipeline.baselines.scaling import Scale, standardisation
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.seeding import derive


class Perceptron(GradientMethod):
    """A subclass has the loss. The same seed gives the same weights, on one machine and with one number of threads."""

    def __init__(
        self,
        hidden: int = 512,
        dropout: float = 0.5,
        lr: float = 1e-3,
        weight_decay: float = 1e-5,
        epochs: int = 20,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        """Set the units of the hidden layer (0: there is none), Adam's settings, and the seed of all that is random."""
        self.hidden, self.dropout, self.lr, self.weight_decay = hidden, dropout, lr, weight_decay
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed

    @abstractmethod
    def _loss(self, logits_BL: Tensor, targets_BL: Tensor, generator: torch.Generator) -> Tensor:
        """Return the loss averaged over the batch; `generator` is on the CPU."""

    def _fit(self, features_ND: Features, targets_NL: Targets) -> None:
        if self.hidden < 0 or self.epochs < 1 or self.batch_size < 1 or not 0 <= self.dropout < 1 or not self.lr > 0:
            raise UsageError(f"{self}: hidden >= 0, epochs and batch_size >= 1, 0 <= dropout < 1 and lr > 0 are needed")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # all randomness of this fit, and none outside of it
        with torch.random.fork_rng():
            torch.manual_seed(derive(self.seed, type(self).__name__))
            network = self._network(features_ND, targets_NL).to(device)
            self._train(network, features_ND, targets_NL, device)
        self.network_ = network.eval()

    def _network(self, features_ND: Features, targets_NL: Targets) -> nn.Sequential:
        dimension, labels = features_ND.shape[1], targets_NL.shape[1]
        layers: list[nn.Module] = [_Standardise(standardisation(features_ND)), nn.Dropout(self.dropout)]
        if self.hidden:
            layers += [nn.Linear(dimension, self.hidden), nn.ReLU(inplace=True), nn.Dropout(self.dropout)]
        output = nn.Linear(self.hidden or dimension, labels)
        # every label starts at its prior
        counts_L = torch.from_numpy(targets_NL.sum(0, dtype=np.float32))
        with torch.no_grad():
            output.bias.copy_(torch.log(counts_L + 0.5) - torch.log(len(targets_NL) - counts_L + 0.5))
        return nn.Sequential(*layers, output)

    def _train(self, network: nn.Module, features_ND: Features, targets_NL: Targets, device: torch.device) -> None:
        def loss(rows_B: NDArray[np.int64], generator: torch.Generator) -> Tensor:
            features_BD = torch.from_numpy(np.asarray(features_ND[rows_B], np.float32)).to(device)
            targets_BL = torch.from_numpy(targets_NL[rows_B].astype(np.float32)).to(device)
            return self._loss(network(features_BD), targets_BL, generator)

        self._descend(network, len(features_ND), loss)

    @torch.inference_mode()
    def _scores(self, features_BD: Features) -> NDArray[np.floating]:
        device = next(self.network_.parameters()).device
        logits_BL: NDArray[np.floating] = self.network_(torch.tensor(features_BD).to(device)).cpu().numpy()
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
