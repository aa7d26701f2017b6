"""All that is known of a model but its weights: `model` of params.yaml, and `bundle.json`. Loads no torch."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from aaam_pipeline.core.artifacts import read_checksummed
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.core.params import Struct
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.models.preprocess import Preprocess

FORMAT = "aaam-bundle"
VERSION = 2


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

    `backbone`: `vgg_small`, a torchvision CNN, or `timm/NAME`; `weights`: `imagenet` (its authors', downloaded),
    `none`, or a .safetensors file.

    `batch_norm: frozen` keeps the backbone's batch norm in evaluation mode while training, as weights with folded
    statistics need and as small batches like. `frozen_layers`: how many of the backbone's first layers (or blocks, as
    torchvision counts them; the stem and the stages, as timm does) are kept as they are: they see edges and colours,
    on the largest maps, and cost the most. `frozen_depthwise`: depthwise kernels of at least this side are kept as they
    are, 0: none; the gradient of large ones is slow on a CPU.
    """

    backbone: str = "vgg16"
    weights: str = "imagenet"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    batch_norm: Literal["train", "frozen"] = "frozen"
    frozen_layers: Annotated[int, Meta(ge=0)] = 0
    frozen_depthwise: Annotated[int, Meta(ge=0)] = 0
    attention: AttentionParams = AttentionParams()


class BundleInfo(msgspec.Struct, frozen=True):
    """`bundle.json`. `calibration`: from what the network gives to the scores of annotations; None: they are the same.

    `thresholds`: per label, the (calibrated) score from which it is assigned; `metrics`: on validation; `hash`: of all
    other fields, filled in when it is written.
    """

    format: str
    version: int
    model_id: str
    architecture: ModelParams
    preprocess: Preprocess
    vocabulary: list[str]
    thresholds: list[float]
    k: int
    dataset: str
    phase: str
    metrics: dict[str, Any]
    weights_sha256: str
    calibration: Calibration | None = None
    hash: str = ""


def read_info(folder: Path) -> BundleInfo:
    """Read `bundle.json` alone.

    Raises:
        UsageError: `folder` is no bundle.
        IntegrityError: it is damaged, or of a version this program does not know.
    """

    def outdated(info: BundleInfo) -> str:
        if (info.format, info.version) == (FORMAT, VERSION):
            return ""
        return f"{folder}: bundle format {info.format!r} version {info.version}, but {VERSION} is known"

    info = read_checksummed(folder / "bundle.json", BundleInfo, "a model bundle", outdated)
    check(folder, info)
    return info


def check(folder: Path, info: BundleInfo) -> None:
    """Raise IntegrityError where the info found in `folder` is not of as many labels throughout."""
    if len(info.thresholds) != len(info.vocabulary):
        raise IntegrityError(f"{folder}: {len(info.thresholds)} thresholds for {len(info.vocabulary)} labels")
    if info.calibration and not info.calibration.fits(len(info.vocabulary)):
        raise IntegrityError(f"{folder}: the calibration is not of {len(info.vocabulary)} labels")
