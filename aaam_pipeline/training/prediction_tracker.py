"""The prediction paths of Fig. 2: the scores of a few fixed images, again and again while a network is trained.

Shapes: M images that are followed, L labels, S moments.
"""

import numpy as np
import torch
from torch import Tensor

from aaam_pipeline.core.seeding import derive
from aaam_pipeline.datasets.prepared import Split
from aaam_pipeline.formats.recordings import Recording
from aaam_pipeline.models import Network
from aaam_pipeline.models.preprocess import Preprocess

IMAGES = 8
MOMENTS_AN_EPOCH = 10


class PredictionTracker:
    """Follows images of the test split that hold at least k labels, the same ones in every training of a data set."""

    def __init__(
        self, split: Split, k: int, preprocess: Preprocess, device: torch.device, images: int = IMAGES
    ) -> None:
        """Choose at most `images` of those with k labels, or of all where none has as many; 0: nothing is recorded."""
        full = np.flatnonzero((split.targets_NL > 0).sum(1) >= k)
        rows = full if len(full) else np.arange(len(split.image_ids))
        self.rows = np.sort(np.random.default_rng(derive(0, "prediction paths")).permutation(rows)[:images])
        self.split = split
        self.images_M3SS = preprocess.normalise(torch.tensor(split.pixels_NSS3[self.rows], device=device))
        self.steps: list[int] = []
        self.scores_SML: list[Tensor] = []

    def record(self, network: Network, step: int) -> None:
        """Keep the scores that the network gives after `step` steps; it stays in the mode it was in."""
        if not len(self.rows):
            return
        training = network.training
        network.eval()
        # on the CPU, as those of a checkpoint are: they are stacked in the end
        self.scores_SML.append(network.predict(self.images_M3SS)[0].cpu())
        self.steps.append(step)
        network.train(training)

    def recording(self, labels: list[str]) -> Recording:
        """Return what was recorded."""
        return Recording(
            labels=labels,
            image_ids=[self.split.image_ids[row] for row in self.rows],
            targets_ML=self.split.targets_NL[self.rows],
            steps_S=np.array(self.steps, dtype=np.int64),
            scores_SML=torch.stack(self.scores_SML).numpy(),
        )
