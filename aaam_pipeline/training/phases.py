"""The three phases as a table (section 5.4), each from the checkpoint of the one before; and their settings.

`bce` finds the easy labels. `joint` adds the triplet margin with random triplets (Algorithm 1): found labels pull the
related, not yet found ones up. `hard` takes the triplets that maximise the margin loss instead of random ones. `warp`
is no phase of AAAM but the compared ranking loss, trained from the same start as `bce`.
"""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor

from aaam_pipeline.core.params import LabelCount, ParamsFile, Struct
from aaam_pipeline.models import ModelParams
from aaam_pipeline.models.defaults import read_preprocess
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training import triplets
from aaam_pipeline.training.loaders import Augment

Miner = Callable[[Tensor, Tensor, int, torch.Generator], Tensor]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class LearningRates(Struct, frozen=True):
    """Learning rate of each parameter group; 0 keeps a group as it is."""

    features: NotNegative = 1e-3
    attention: NotNegative = 1e-4
    classifier: NotNegative = 1e-4


class PhaseParams(Struct, frozen=True):
    """`phases.<name>` of params.yaml.

    `margin` is m and `weight` lambda of Eq. 4 and 6 (`bce` uses neither, `warp` the margin alone). `patience`: epochs
    without a better validation mAP after which the phase ends. `schedule`: the learning rate stays, or rises over
    `warm_up`, a share of the phase, and falls to 0 on a cosine (one-cycle).
    """

    epochs: Annotated[int, Meta(ge=0)] = 10
    patience: Annotated[int, Meta(ge=1)] = 3
    lr: LearningRates = LearningRates()
    schedule: Literal["constant", "one_cycle"] = "constant"
    warm_up: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    weight_decay: NotNegative = 1e-5
    margin: Positive = 0.1
    weight: NotNegative = 1.0


class TrainParams(Struct, frozen=True):
    """`train` of params.yaml, common to the phases.

    `batch_size` is that of all processes together. `precision: auto` is bf16 autocast on a GPU and fp32 on a CPU,
    where bf16 pays if the CPU computes with it (AVX512-BF16).
    `compile`: pass the network through torch.compile, which takes a minute and pays in long training on a GPU.
    `optimizer`: Adam adds the weight decay to the gradient, AdamW takes it off the weights. `ema`: above 0, the weights
    that are validated and kept are an exponential average over the steps, with this decay. `keep`: the weights of the
    epoch with the best validation mAP, or of the last epoch, which ends every phase after `epochs`.
    `probe_epochs`: above 0, the classifier of the first phase is trained alone for so many epochs before, on the
    features of the backbone as it came, which are computed once; `converged`: with an L2 penalty that cross-validation
    chooses, until its loss is at the minimum.
    `runtime_form`: of the bundle, with which torch is not needed; `auto` is int8 where that loses at most 0.5 points of
    mAP on validation, else fp32.
    """

    seed: int = 1
    batch_size: Annotated[int, Meta(ge=2)] = 64
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    optimizer: Literal["adam", "adamw"] = "adam"
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    keep: Literal["best", "last"] = "best"
    probe_epochs: Annotated[int, Meta(ge=0)] | Literal["converged"] = 0
    runtime_form: Literal["auto", "fp32", "int8", "none"] = "auto"
    augment: Augment = Augment()


class PhaseSettings(Struct, frozen=True):
    """What decides a phase, apart from its data: `k` and the sections of a data set's block.

    `refit`: the validation images are trained on as well, and the last weights are kept.
    """

    k: int
    preprocess: Preprocess
    model: ModelParams
    train: TrainParams
    phase: PhaseParams
    refit: bool = False

    @property
    def keeps_last(self) -> bool:
        """Whether the last weights are kept, and not those of the best epoch."""
        return self.refit or self.train.keep == "last"


class Phase(NamedTuple):
    """A row of the table: its name, the phase it starts from, and how it picks triplets (None: none).

    `objective`: Eq. 6, which without triplets is the cross-entropy, or the WARP loss.
    """

    name: str
    after: str | None
    mine: Miner | None
    objective: Literal["joint", "warp"] = "joint"


def _hardest(probs_BL: Tensor, targets_BL: Tensor, k: int, generator: torch.Generator) -> Tensor:
    return triplets.hardest(probs_BL, targets_BL, k)


PHASES = {
    phase.name: phase
    for phase in (
        Phase("bce", after=None, mine=None),
        Phase("joint", after="bce", mine=triplets.sample),
        Phase("hard", after="joint", mine=_hardest),
        Phase("warp", after=None, mine=None, objective="warp"),
    )
}


def read_settings(params: ParamsFile, dataset: str, phase: str) -> PhaseSettings:
    """Read the settings of a data set's phase from params.yaml.

    Raises:
        ParamsError: as `ParamsFile.section`.
    """
    return PhaseSettings(
        k=params.section(f"{dataset}.k", LabelCount),
        preprocess=read_preprocess(params, dataset),
        model=params.section(f"{dataset}.model", ModelParams),
        train=params.section(f"{dataset}.train", TrainParams),
        phase=params.section(f"{dataset}.phases.{phase}", PhaseParams),
    )
