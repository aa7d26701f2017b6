"""How the compared networks are trained: Adam on drawn batches, with a learning rate that falls along half a cosine."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aaam_pipeline.baselines.base import Method
from aaam_pipeline.core.errors import TrainingError
from aaam_pipeline.core.seeding import derive

# of the rows of a batch, with a generator (on the CPU) for what is random in it
Loss = Callable[[NDArray[np.int64], torch.Generator], Tensor]


class GradientMethod(Method):
    """A method that is trained by gradient descent: what its subclasses' hyper-parameters are called."""

    ordered = True

    lr: float
    weight_decay: float
    epochs: int
    batch_size: int
    seed: int

    def _descend(self, network: nn.Module, images: int, loss: Loss, clip: float = float("inf")) -> None:
        """Train `network` on batches of `images` rows; `clip`: the largest norm of a gradient.

        Raises:
            TrainingError: the weights are not finite in the end.
        """
        optimizer = torch.optim.Adam(network.parameters(), lr=self.lr, weight_decay=self.weight_decay, fused=True)
        batches = -(-images // self.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs * batches)
        generator = torch.Generator().manual_seed(derive(self.seed, "batches"))
        network.train()
        for _ in range(self.epochs):
            order_N = torch.randperm(images, generator=generator).numpy()
            for rows_B in np.array_split(order_N, batches):
                optimizer.zero_grad()
                loss(rows_B, generator).backward()  # type: ignore[no-untyped-call]
                if clip < float("inf"):
                    nn.utils.clip_grad_norm_(network.parameters(), clip)
                optimizer.step()
                schedule.step()
        if not all(bool(each.isfinite().all()) for each in network.parameters()):
            raise TrainingError(f"{self}: the weights are no numbers any more; use a smaller lr")
