"""Settings of `aaam-pipe train`: what a block of params.yaml says elsewhere, for photographs of one's own.

There are few of these, so the classifier is first fitted to the features as they came, and then everything is tuned
with small rates. What was tried: docs/train.md.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import torch

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.models import ModelParams, Network
from aaam_pipeline.models.info import AttentionParams, read_info
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training.adopt import misfit
from aaam_pipeline.training.loaders import Augment
from aaam_pipeline.training.phases import LearningRates, PhaseParams, PhaseSettings, TrainParams

CHAIN = ("bce", "joint", "hard")
BACKBONE = "timm/tf_efficientnet_lite2"
WEIGHTS = ("none", "imagenet")
# of all epochs, the shares of the phases; `bce` has the rest
JOINT, HARD = 0.2, 0.2
EPOCHS = 10
MOST_K = 5
# what messages advise, in params.yaml and here
IN_PARAMS = "set model.weights to a .safetensors file"
IN_OPTIONS = "name a .safetensors file of them with --from, or the starter"
RATES = {
    "bce": LearningRates(features=1e-4, attention=1e-4, classifier=3e-4),
    "joint": LearningRates(features=5e-5, attention=5e-5, classifier=1.5e-4),
    "hard": LearningRates(features=3e-5, attention=3e-5, classifier=1e-4),
}
# for a network that knows nothing yet
FROM_NOTHING = LearningRates(features=2e-3, attention=2e-4, classifier=1e-3)


class Start(NamedTuple):
    """What a network starts from: a bundle `origin`, or `model.weights`; and how it sees pictures."""

    origin: Path | None
    model: ModelParams
    preprocess: Preprocess


def start_from(what: Path | str, backbone: str | None, size: int | None) -> Start:
    """Return how to start from a bundle (a folder), a weights file, `imagenet` or `none`.

    Raises:
        UsageError: a bundle has another backbone or size than the one named; there is nothing of this kind.
        ParamsError, IntegrityError: as `Network` and `read_info`.
    """
    if str(what) in WEIGHTS or Path(what).suffix == ".safetensors":
        if str(what) not in WEIGHTS and not Path(what).is_file():
            raise UsageError(f"--from {what}: no such file")
        return _start_from_weights(str(what), backbone or BACKBONE, size)
    folder = Path(what)
    info = read_info(folder)
    model = msgspec.structs.replace(info.architecture, weights="none")
    wanted = msgspec.structs.replace(model, backbone=backbone or model.backbone)
    preprocess = msgspec.structs.replace(info.preprocess, size=size or info.preprocess.size)
    if fault := misfit(info, wanted, preprocess):
        raise UsageError(f"--from {what}: {fault}; leave out --backbone and --size")
    return Start(folder, model, preprocess)


def _start_from_weights(weights: str, backbone: str, size: int | None) -> Start:
    pretrained, default = weights != "none", backbone == BACKBONE
    model = ModelParams(
        backbone=backbone,
        weights=weights,
        dropout=0.2,
        batch_norm="frozen" if pretrained else "train",
        # the stem and the first three stages; what is slow on a CPU
        frozen_layers=4 if default and pretrained else 0,
        frozen_depthwise=5 if default and pretrained else 0,
        attention=AttentionParams(filters="depthwise", kernel_size=1),
    )
    known = {}
    if backbone.startswith("timm/"):
        from aaam_pipeline.models.backbones import timm

        known = timm.configuration(backbone)
    preprocess = msgspec.convert(known, Preprocess)
    preprocess = msgspec.structs.replace(preprocess, size=size or preprocess.size)
    # what is wrong with them is said before any photograph is read
    try:
        Network(model, 1, preprocess.size)
    except UsageError as error:
        raise type(error)(str(error).replace(IN_PARAMS, IN_OPTIONS)) from None
    return Start(None, model, preprocess)


def candidates(
    start: Start, k: int, epochs: int, seed: int, device: str = "auto"
) -> dict[str, dict[str, PhaseSettings]]:
    """Return the ways to train, each with its phases: `head`, the classifier alone; `whole`, then all three phases.

    A network that knows nothing has no features to fit a classifier to: it has only `whole`.
    """
    pretrained = start.origin is not None or start.model.weights != "none"
    train = TrainParams(
        seed=seed,
        batch_size=32,
        precision=_precision(device),
        optimizer="adamw",
        keep="last",
        # the bundle that is written gets one
        runtime_form="none",
        augment=Augment(zoom=0.4, aspect=0.25),
    )
    joint, hard = (max(1, round(share * epochs)) if epochs > 2 else 0 for share in (JOINT, HARD))
    counts = {"bce": epochs - joint - hard, "joint": joint, "hard": hard}

    def phase(name: str, count: int) -> PhaseSettings:
        params = PhaseParams(
            epochs=count,
            lr=RATES[name] if pretrained else FROM_NOTHING,
            schedule="one_cycle",
            warm_up=0.2,
            weight_decay=0.01,
            margin=0.05,
            weight=3.0,
        )
        return PhaseSettings(k=k, preprocess=start.preprocess, model=start.model, train=train, phase=params)

    whole = {"whole": {name: phase(name, counts[name]) for name in CHAIN}}
    if not pretrained:
        return whole
    head = phase("bce", 0)
    head = msgspec.structs.replace(head, train=msgspec.structs.replace(train, probe_epochs="converged"))
    return {"head": {"bce": head}, **whole}


def _precision(device: str) -> Literal["auto", "bf16"]:
    """Return bf16 for a CPU that computes with it, which takes half the time."""
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    return (
        "bf16" if on_cpu and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()) else "auto"
    )
