"""The ablation of Tables 2 to 4: what the attention layer and the triplet margin loss each add, over several seeds.

Every variant is trained for the same phases, epochs and learning rates; a variant without the triplet margin loss has
lambda = 0 in `joint` and `hard`, so that it is not beaten just by being trained for less long. The `bce` phase is the
same with and without the loss, and trained once. What BCE has after that phase alone is kept as well: it shows how much
comes from training for longer.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from aaam_pipeline.core.artifacts import publish, work_folder
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.training.chain import Link, train_chain
from aaam_pipeline.training.distributed import DistributedContext
from aaam_pipeline.training.phases import PhaseSettings, read_settings
from aaam_pipeline.training.run import PhasePaths

PHASES = ("bce", "joint", "hard")
ONE_PHASE = "bce-one-phase"


class Variant(NamedTuple):
    """A row of the ablation: which of the paper's two parts it has."""

    name: str
    attention: bool
    triplets: bool


VARIANTS = (
    Variant("bce", attention=False, triplets=False),
    Variant("bce+attention", attention=True, triplets=False),
    Variant("bce+tm", attention=False, triplets=True),
    Variant("aaam", attention=True, triplets=True),
)


def ablate(
    dataset: str,
    params: ParamsFile,
    prepared: Path,
    out: Path,
    work: Path,
    seeds: Iterable[int],
    device: str,
    report: Reporter,
) -> None:
    """Train all variants with each seed, and write `<variant>/<seed>.parquet` (test scores) and `.json` (validation).

    `bce-one-phase` is the variant `bce` as it was before `joint` and `hard`. With `refit` all are trained on validation
    images as well, and end with their last epoch; there are no validation metrics then.
    What is finished in the folder `work` is not trained again when the settings, data and code are the same.

    Raises:
        UsageError, DatasetError, TrainingError, IntegrityError: as `run_phase`.
    """
    if DistributedContext(device).world_size > 1:
        raise UsageError("the ablation trains in one process: start it without torchrun")
    chosen = {
        phase: msgspec.structs.replace(read_settings(params, dataset, phase), refit=params.is_refitted(dataset))
        for phase in PHASES
    }
    results = work_folder(out)
    for seed in seeds:
        for variant in VARIANTS:
            trained = train_chain(dataset, _links(dataset, variant, seed, chosen, work), prepared, device, report)
            _copy(trained[-1], results / variant.name, seed)
            if variant == VARIANTS[0]:
                _copy(trained[0], results / ONE_PHASE, seed)
    publish(results, out)


def _copy(paths: PhasePaths, folder: Path, seed: int) -> None:
    folder.mkdir(exist_ok=True)
    shutil.copyfile(paths.scores, folder / f"{seed}.parquet")
    shutil.copyfile(paths.validation, folder / f"{seed}.json")


def _links(dataset: str, variant: Variant, seed: int, chosen: dict[str, PhaseSettings], work: Path) -> Iterator[Link]:
    for phase in PHASES:
        # all variants that agree on the attention share their first phase
        name = ("attention" if variant.attention else "plain") if phase == "bce" else variant.name
        title = f"{dataset}, {variant.name}, seed {seed}: {phase}"
        yield Link(phase, _of_variant(chosen[phase], variant, seed, phase), work / str(seed) / name / phase, title)


def _of_variant(chosen: PhaseSettings, variant: Variant, seed: int, phase: str) -> PhaseSettings:
    replace = msgspec.structs.replace
    model, phase_params = chosen.model, chosen.phase
    if not variant.attention:
        model = replace(model, attention=replace(model.attention, filters="none"))
    if not variant.triplets and phase != "bce":
        phase_params = replace(phase_params, weight=0.0)
    return replace(chosen, model=model, phase=phase_params, train=replace(chosen.train, seed=seed, runtime_form="none"))
