"""The whole AAAM network (section 4, Fig. 1): backbone -> self-attention -> fully connected layers -> labels.

Shapes: B batch, S image side, C channels, H x W feature map, D embedding, L labels.

References: the AAAM paper, Eq. 7 and Fig. 3 for the attention; VGG16 (Simonyan and Zisserman 2015) for its backbone.
"p" is the output of the backbone's features: for VGG16 the 7 x 7 x 512 map after the last convolution's pooling,
since Eq. 7 feeds p_att to the first fully connected layer.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from aaam_pipeline.core.errors import ParamsError
from aaam_pipeline.models import backbone as backbones
from aaam_pipeline.models.architecture import AttentionParams, ModelParams
from aaam_pipeline.models.attention import SelfAttention


class Network(nn.Module):
    """AAAM: `forward` gives logits, `embed` the penultimate embedding of which a label's logit is a linear function."""

    def __init__(self, params: ModelParams, num_labels: int, size: int) -> None:
        """Build for square images of `size` pixels, and load the backbone's weights.

        Raises:
            ParamsError: there are not that many layers to freeze; also as `backbone.load` and `backbone.shapes`.
        """
        super().__init__()
        backbone = backbones.load(params.backbone, params.weights, params.dropout)
        channels, map_size, self.embedding_dim = backbones.shapes(backbone, size)
        self.frozen_norm = params.batch_norm == "frozen"
        self.features = backbone.features
        self.frozen_layers = params.frozen_layers
        # in a tuple, so that it is no part of the weights
        self._folded: tuple[nn.Module, ...] = ()
        if self.frozen_layers:
            _check_frozen(self.features, params)
            self.features[: self.frozen_layers].requires_grad_(False)  # type: ignore[index]
        # made before the attention layer: networks of one seed start with the same classifier, with and without it
        classifier = nn.Linear(self.embedding_dim, num_labels)
        self.attention: nn.Module = (
            nn.Identity() if params.attention.filters == "none" else SelfAttention(channels, map_size, params.attention)
        )
        self.pool = backbone.pool
        self.neck = backbone.neck
        self.classifier = classifier

    def embed(self, images_B3SS: Tensor) -> Tensor:
        """Return the penultimate embedding, (B, D)."""
        embedding_BD: Tensor = self.neck(self.pool(self.attention(self._map(images_B3SS))))
        return embedding_BD

    def _map(self, images_B3SS: Tensor) -> Tensor:
        """Return the feature map p, (B, C, H, W); in training, the frozen layers keep nothing for a backward pass."""
        if self._folded:
            with torch.no_grad():
                kept_BCHW = self._folded[0](images_B3SS)
            p_BCHW: Tensor = self.features[self.frozen_layers :](kept_BCHW)  # type: ignore[index]
        else:
            p_BCHW = self.features(images_B3SS)
        return p_BCHW

    def forward(self, images_B3SS: Tensor) -> Tensor:
        """Return logits, (B, L); the sigmoid is in the losses and in `predict`."""
        logits_BL: Tensor = self.classifier(self.embed(images_B3SS))
        return logits_BL

    @torch.inference_mode()
    def predict(self, images_B3SS: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (B, L) and embeddings (B, D), both float32."""
        embedding_BD = self.embed(images_B3SS)
        return self.classifier(embedding_BD).float().sigmoid(), embedding_BD.float()

    def train(self, mode: bool = True) -> "Network":
        """Switch dropout, and batch norm unless it or its layer is frozen."""
        super().train(mode)
        if self.frozen_norm:
            for module in self.features.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        self._folded = ()
        if mode and self.frozen_layers:
            # with batch norm folded into the convolutions: half the time
            self._folded = (fuse(self.features[: self.frozen_layers].eval()),)  # type: ignore[index]
        return self

    def groups(self) -> dict[str, Iterator[nn.Parameter]]:
        """Return the parameters that share a learning rate: `features`, `attention`, `classifier` (with the neck).

        Those of frozen layers are in no group.
        """
        head = nn.ModuleList([self.neck, self.classifier])
        tuned = self.features[self.frozen_layers :] if self.frozen_layers else self.features  # type: ignore[index]
        return {
            "features": tuned.parameters(),
            "attention": self.attention.parameters(),
            "classifier": head.parameters(),
        }


def _check_frozen(features: nn.Module, params: ModelParams) -> None:
    layers = len(features) if isinstance(features, nn.Sequential) else 1
    if params.frozen_layers >= layers:
        raise ParamsError(
            f"model.frozen_layers {params.frozen_layers}: {params.backbone} has {layers} layers, and one has to be "
            "left; to keep all of them, set the learning rate lr.features to 0"
        )


def create(
    backbone: str = "vgg16",
    attention: str = "dense",
    num_labels: int = 80,
    *,
    size: int = 224,
    weights: str = "none",
    dropout: float = 0.5,
) -> Network:
    """Make an AAAM network from plain arguments.

    `attention` is `dense`, `depthwise` or `none`; see `ModelParams` for the rest, `backbone.load` for what is raised.
    """
    filters = AttentionParams(filters=attention)  # type: ignore[arg-type]
    return Network(
        ModelParams(backbone=backbone, weights=weights, dropout=dropout, attention=filters), num_labels, size
    )
