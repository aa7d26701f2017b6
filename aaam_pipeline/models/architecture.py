"""`model` of params.yaml: which network is built. Apart from the network itself, so that reading it loads no torch."""

from typing import Annotated, Literal

from msgspec import Meta

from aaam_pipeline.core.params import Struct


class AttentionParams(Struct, frozen=True):
    """`model.attention` of params.yaml.

    `filters`: `dense` (each filter sees all channels: C*C*H*W weights), `depthwise` (each its own channel: C*H*W; for
    wide maps), or `none` (no attention at all: the paper's ablation). `kernel_size`: of the convolution p -> p'.
    """

    filters: Literal["dense", "depthwise", "none"] = "dense"
    activation: Literal["none", "sigmoid", "tanh"] = "none"
    kernel_size: Literal[1, 3, 5, 7] = 3


class ModelParams(Struct, frozen=True):
    """`model` of params.yaml.

    `batch_norm: frozen` keeps the backbone's batch norm in evaluation mode while training, as weights with folded
    statistics need and as small batches like. `frozen_layers`: how many of the backbone's first layers (or blocks, as
    torchvision counts them) are kept as they are: they see edges and colours, on the largest maps, and cost the most.
    """

    backbone: str = "vgg16"
    weights: str = "imagenet"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    batch_norm: Literal["train", "frozen"] = "frozen"
    frozen_layers: Annotated[int, Meta(ge=0)] = 0
    attention: AttentionParams = AttentionParams()
