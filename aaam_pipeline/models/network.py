"""The whole AAAM network (section 4, Fig. 1): backbone -> self-attention -> fully connected layers -> labels.

Shapes: B batch, S image side, C channels, H x W feature map, D embedding, L labels.

References: the AAAM paper, Eq. 7 and Fig. 3 for the attention; VGG16 (Simonyan and Zisserman 2015) for its backbone.
"p" is the output of the backbone's features: for VGG16 the 7 x 7 x 512 map after the last convolution's pooling,
since Eq. 7 feeds p_att to the first fully connected layer.
"""

import logging
from collections.abc import Iterator
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from aaam_pipeline.core.errors import ParamsError
from aaam_pipeline.models import backbones
from aaam_pipeline.models.info import AttentionParams, ModelParams

log = logging.getLogger(__name__)

ACTIVATIONS: dict[str, type[nn.Module]] = {"none": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class SelfAttention(nn.Module):
    """Weigh every channel of a feature map by what its filter sees on the whole map (section 4.4, Fig. 3, Eq. 7).

        p'     = conv(p)                       the same number of channels
        alpha  = filters over the whole map    H x W kernels on p', C weights of 1 x 1
        p_att  = p + alpha * p'                skip connection (Eq. 7), fed to the first fully connected layer

    The paper gives no activation on alpha ("enhance or weaken"), so `none` is the default. The filters start at zero:
    alpha is then 0 and p_att = p, so that a pre-trained backbone is not disturbed before the layer has learned
    anything. The convolution starts as the identity, p' = p: at first, alpha does nothing but enhance or weaken a
    channel.
    """

    def __init__(self, channels: int, size: tuple[int, int], params: AttentionParams) -> None:
        """Make the layer for maps of (channels, *size)."""
        super().__init__()
        groups = channels if params.filters == "depthwise" else 1
        self.conv = nn.Conv2d(channels, channels, params.kernel_size, padding="same")
        self.filters = nn.Conv2d(channels, channels, size, groups=groups)
        self.activation = ACTIVATIONS[params.activation]()
        nn.init.dirac_(self.conv.weight)
        nn.init.zeros_(self.filters.weight)
        for layer in (self.conv, self.filters):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, p_BCHW: Tensor) -> Tensor:
        """Return p_att, (B, C, H, W)."""
        mapped_BCHW = self.conv(p_BCHW)
        alpha_BC11 = self.activation(self._see(mapped_BCHW))
        return torch.addcmul(p_BCHW, alpha_BC11, mapped_BCHW)

    def _see(self, mapped_BCHW: Tensor) -> Tensor:
        """Return what every filter sees on the whole map, (B, C, 1, 1)."""
        if self.filters.groups == 1:
            seen_BC11: Tensor = self.filters(mapped_BCHW)
            return seen_BC11
        # the same sum as the convolution, which has no fast way back for kernels as large as the map
        assert self.filters.bias is not None
        weight_1CHW = self.filters.weight.transpose(0, 1).contiguous(memory_format=torch.channels_last)
        return (mapped_BCHW * weight_1CHW).sum((2, 3), keepdim=True) + self.filters.bias[:, None, None]


class Network(nn.Module):
    """AAAM: `forward` gives logits, `embed` the penultimate embedding of which a label's logit is a linear function."""

    def __init__(self, params: ModelParams, num_labels: int, size: int) -> None:
        """Build for square images of `size` pixels, and load the backbone's weights.

        Raises:
            ParamsError: there are not that many layers to freeze; also as `backbones.load` and `backbones.shapes`.
        """
        super().__init__()
        backbone = backbones.load(params.backbone, params.weights, params.dropout, size)
        channels, map_size, self.embedding_dim = backbones.shapes(backbone, size)
        self.frozen_norm = params.batch_norm == "frozen"
        self.features = backbone.features
        self.frozen_layers = params.frozen_layers
        # in a tuple, so that it is no part of the weights
        self._folded: tuple[nn.Module, ...] = ()
        self._frozen = _freeze(self.features, params)
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
            self._folded = (_fold(self.features[: self.frozen_layers].eval()),)  # type: ignore[index]
        return self

    def groups(self) -> dict[str, Iterator[nn.Parameter]]:
        """Return the parameters that share a learning rate: `features`, `attention`, `classifier` (with the neck).

        Those of frozen layers are in no group, and frozen depthwise kernels neither.
        """
        head = nn.ModuleList([self.neck, self.classifier])
        return {
            "features": (each for name, each in self.features.named_parameters() if name not in self._frozen),
            "attention": self.attention.parameters(),
            "classifier": head.parameters(),
        }


def _freeze(features: nn.Module, params: ModelParams) -> frozenset[str]:
    """Switch off the gradients of what is kept as it is; return the names of these parameters."""
    if params.frozen_layers:
        layers = len(features) if isinstance(features, nn.Sequential) else 1
        # a last layer may have nothing to learn: an activation, or tokens that are laid out
        if params.frozen_layers >= layers or not list(features[params.frozen_layers :].parameters()):  # type: ignore[index]
            raise ParamsError(
                f"model.frozen_layers {params.frozen_layers}: {params.backbone} has {layers} layers, and one has to be "
                "left that learns; to keep all of them, set the learning rate lr.features to 0"
            )
        features[: params.frozen_layers].requires_grad_(False)  # type: ignore[index]
    if params.frozen_depthwise:
        for module in features.modules():
            if _is_depthwise(module) and min(module.kernel_size) >= params.frozen_depthwise:
                module.weight.requires_grad_(False)
    return frozenset(name for name, each in features.named_parameters() if not each.requires_grad)


def _is_depthwise(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels


def _fold(layers: nn.Module) -> nn.Module:
    """Return layers in evaluation mode with batch norm folded into the convolutions, which takes half the time.

    Where that cannot be, since what they compute depends on their input, they are returned as they are.
    """
    try:
        return fuse(layers)
    except Exception as error:
        # torch.fx raises whatever the code that it cannot trace raises
        log.info("batch norm of the frozen layers is not folded: %s", " ".join(str(error).split()))
        return layers


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

    `attention` is `dense`, `depthwise` or `none`; see `ModelParams` for the rest, `backbones.load` for what is raised.
    """
    filters = AttentionParams(filters=attention)  # type: ignore[arg-type]
    return Network(
        ModelParams(backbone=backbone, weights=weights, dropout=dropout, attention=filters), num_labels, size
    )
