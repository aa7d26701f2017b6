"""All that is known of a model but its weights: `model` of params.yaml, and `bundle.json`. Loads no torch."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from aaam_pipeline.core.artifacts import file_sha256, read_checksummed, read_json
from aaam_pipeline.core.errors import IntegrityError, UsageError, VersionError
from aaam_pipeline.core.params import Struct
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.formats.familiarity import FAMILIARITY, Familiarity, read_familiarity
from aaam_pipeline.formats.model_ids import model_id_of
from aaam_pipeline.formats.words import WordSupport
from aaam_pipeline.models.preprocess import Preprocess

FORMAT = "aaam-bundle"
VERSION = 3
Precision = Literal["fp32", "bf16", "int8"]
BUNDLE, WEIGHTS, HEAD = "bundle.json", "model.safetensors", "head.safetensors"
# data sets of generated pictures
GENERATED = ("scenes",)


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


class FormLoss(msgspec.Struct, frozen=True):
    """What int8 loses beside fp32 on a split: mAP of both in [0, 1], and the mean difference of calibrated scores."""

    split: str
    images: int
    map_fp32: float
    map_int8: float
    mean_difference: float

    @property
    def points(self) -> float:
        """Return the mAP lost, in points of 100."""
        return 100 * (self.map_fp32 - self.map_int8)


class RuntimeForm(msgspec.Struct, frozen=True):
    """The network as ONNX, which annotates without torch: uint8 pixels (B, S, S, 3) -> embedding (B, D), float32.

    `precision`: what is in the file; `in_fp32`: convolutions that int8 leaves so (`depthwise`, `first`); `loss`: what
    int8 loses, also where fp32 was taken for that; None: not measured. `made_with`: versions of what made it.
    """

    file: str
    precision: Precision
    made_with: dict[str, str]
    in_fp32: tuple[str, ...] = ()
    loss: FormLoss | None = None


class BundleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`bundle.json`. `calibration`: from what the network gives to the scores of annotations; None: they are the same.

    `thresholds`: per label, the (calibrated) score from which it is assigned; `metrics`: on validation; `words`: one a
    label of the vocabulary, or none. `generated`: it learnt from generated pictures. Filled in when it is written:
    `format`, `version`, `files` (SHA-256 by name), `embedding_id` and `head_id` (`formats.model_ids`), `model_id` (of
    fp32), `hash` (of all other fields). `weights_sha256` is of version 2, where it is all that there is of these.
    """

    format: str = FORMAT
    version: int = VERSION
    model_id: str = ""
    embedding_id: str = ""
    head_id: str = ""
    architecture: ModelParams
    preprocess: Preprocess
    vocabulary: list[str]
    thresholds: list[float]
    k: int
    dataset: str
    phase: str
    metrics: dict[str, Any]
    weights_sha256: str = ""
    calibration: Calibration | None = None
    runtime: RuntimeForm | None = None
    generated: bool = False
    words: list[WordSupport] = []
    files: dict[str, str] = {}
    hash: str = ""

    @property
    def name(self) -> str:
        """Return what people call it."""
        return f"{self.dataset}-{self.phase}"

    def of_precision(self, precision: Precision) -> "BundleInfo":
        """Return it as annotations made in a precision are marked: another one gives other embeddings."""
        if precision == "fp32":
            return self
        if self.version == 2:
            return msgspec.structs.replace(self, model_id=f"{self.model_id}-{precision}")
        embedding_id = f"{self.embedding_id}-{precision}"
        model_id = model_id_of(self.name, embedding_id, self.head_id)
        return msgspec.structs.replace(self, embedding_id=embedding_id, model_id=model_id)


class FormatVersion(msgspec.Struct):
    """The two fields of `bundle.json` that every version has."""

    format: str = ""
    version: int = 0


def read_info(folder: Path) -> BundleInfo:
    """Read `bundle.json` alone.

    Raises:
        UsageError: `folder` is no bundle.
        VersionError: it is of a version that this program does not know.
        IntegrityError: it is damaged.
    """
    path = folder / BUNDLE
    if not path.is_file() and (folder / "export.json").is_file():
        raise UsageError(f"{folder} is an export of aaam-pipe 0.1: name the bundle that it was made of")
    check_version(folder, read_json(path, FormatVersion, "a model bundle"))
    info = read_checksummed(path, BundleInfo, "a model bundle")
    check(folder, info)
    if info.version == 2:
        before = {"files": {WEIGHTS: info.weights_sha256}, "generated": info.dataset in GENERATED}
        info = msgspec.structs.replace(info, **before)
    return info


def check_version(place: Path, found: FormatVersion) -> None:
    """Raise VersionError where the bundle at `place` is of a version that is not known."""
    if found.format != FORMAT:
        raise VersionError(f"{place}: bundle format {found.format!r}, but {FORMAT!r} is known")
    if found.version not in (2, VERSION):
        advice = "it needs a newer aaam-pipe" if found.version > VERSION else "train it again"
        raise VersionError(f"{place}: bundle version {found.version}, but {VERSION} is known; {advice}")


def check(folder: Path, info: BundleInfo) -> None:
    """Raise IntegrityError where the info found in `folder` is not of as many labels throughout."""
    if len(info.thresholds) != len(info.vocabulary):
        raise IntegrityError(f"{folder}: {len(info.thresholds)} thresholds for {len(info.vocabulary)} labels")
    if info.calibration and not info.calibration.fits(len(info.vocabulary)):
        raise IntegrityError(f"{folder}: the calibration is not of {len(info.vocabulary)} labels")
    if info.words and len(info.words) != len(info.vocabulary):
        raise IntegrityError(f"{folder}: facts of {len(info.words)} words for {len(info.vocabulary)} labels")


def checked_file(folder: Path, info: BundleInfo, name: str) -> Path:
    """Return the path of a bundle's file.

    Raises:
        IntegrityError: it is not the file that `bundle.json` names.
    """
    path = folder / name
    if not path.is_file() or file_sha256(path) != info.files.get(name):
        raise IntegrityError(f"{path} is missing or damaged: not what {folder / BUNDLE} names")
    return path


def familiarity_of(folder: Path, info: BundleInfo) -> Familiarity | None:
    """Return how a bundle tells pictures that are unlike those of training, or None where it cannot.

    Raises:
        IntegrityError: its file is not the one that `bundle.json` names.
    """
    return read_familiarity(checked_file(folder, info, FAMILIARITY)) if FAMILIARITY in info.files else None
