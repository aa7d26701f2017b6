"""All settings of a phase, read from params.yaml at once."""

from typing import Annotated, Literal

from msgspec import Meta

from aaam_pipeline.core.params import LabelCount, ParamsFile, Struct
from aaam_pipeline.models import ModelParams
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training.augment import Augment
from aaam_pipeline.training.phases import PhaseParams


class TrainParams(Struct, frozen=True):
    """`train` of params.yaml, common to the phases.

    `batch_size` is that of all processes together. `precision: auto` is bf16 autocast on a GPU and fp32 on a CPU,
    where bf16 pays if the CPU computes with it (AVX512-BF16).
    `compile`: pass the network through torch.compile, which takes a minute and pays in long training on a GPU.
    """

    seed: int = 1
    batch_size: Annotated[int, Meta(ge=2)] = 64
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    augment: Augment = Augment()


class PhaseSettings(Struct, frozen=True):
    """What decides a phase, apart from its data: `k` and the sections of a data set's block."""

    k: int
    preprocess: Preprocess
    model: ModelParams
    train: TrainParams
    phase: PhaseParams


def read(params: ParamsFile, dataset: str, phase: str) -> PhaseSettings:
    """Read the settings of a data set's phase.

    Raises:
        ParamsError: as `ParamsFile.section`.
    """
    return PhaseSettings(
        k=params.section(f"{dataset}.k", LabelCount),
        preprocess=params.section(f"{dataset}.preprocess", Preprocess),
        model=params.section(f"{dataset}.model", ModelParams),
        train=params.section(f"{dataset}.train", TrainParams),
        phase=params.section(f"{dataset}.phases.{phase}", PhaseParams),
    )
