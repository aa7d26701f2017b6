"""The whole model as one module, which every runtime computes: preprocessing, network and sigmoid.

Shapes: B batch, S side, L labels, D embedding.
"""

import torch
from torch import Tensor, nn

from aaam_pipeline.models.network import Network
from aaam_pipeline.models.preprocess import Preprocess


class InferenceModule(nn.Module):
    """Pixels, uint8 (B, S, S, 3) -> scores (B, L) and embeddings (B, D), float32."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: Network, preprocess: Preprocess) -> None:
        """Wrap a network in evaluation mode."""
        super().__init__()
        self.network = network
        device = network.classifier.weight.device
        # buffers, not constants made in `forward`: a GPU would wait for them to be copied in every batch
        self.register_buffer("mean", torch.tensor(preprocess.mean, device=device), persistent=False)
        self.register_buffer("std", torch.tensor(preprocess.std, device=device), persistent=False)
        self.eval()

    def forward(self, pixels_BSS3: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise as `Preprocess.normalise` does, and predict."""
        images_BSS3 = pixels_BSS3.float().div(255).sub(self.mean).div(self.std)
        embedding_BD = self.network.embed(images_BSS3.permute(0, 3, 1, 2))
        scores_BL: Tensor = self.network.classifier(embedding_BD).sigmoid()
        return scores_BL, embedding_BD
