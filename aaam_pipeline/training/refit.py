"""Stage `refit`: all phases again, on training and validation images together, for the network that is used.

Validation chose the settings and how long each phase is trained. Images that are held out for that are missing in
training, so the phases are then trained for as many epochs on all of them, and the last weights are taken. What else
validation decided (calibration, thresholds, maxima of scaled scores) comes from the network that was validated, which
was trained alike: of its own training images a network is too sure, also by folds on its embeddings.
"""

import shutil
from pathlib import Path

import msgspec

from aaam_pipeline.core.artifacts import publish, work_folder
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.project import Project
from aaam_pipeline.models.info import read_info
from aaam_pipeline.training.chain import Link, train_chain
from aaam_pipeline.training.phases import PhaseSettings, read_settings
from aaam_pipeline.training.run import PhasePaths, phase_paths

CHAIN = ("bce", "joint", "hard")
REFIT = "refit"


def refit(dataset: str, params: ParamsFile, project: Project, device: str, report: Reporter) -> None:
    """Train the phases of a data set on training and validation images; write the last bundle and its test scores.

    With `refit: false` in the data set's block, they are those of the validated network.

    Raises:
        UsageError: the phases were not trained before; also as `run_phase`, as DatasetError, TrainingError and
            IntegrityError are.
    """
    decided = {phase: phase_paths(project, dataset, phase) for phase in CHAIN}
    wanted, last, best_epochs = params.is_refitted(dataset), decided[CHAIN[-1]], {}
    for phase, paths in decided.items():
        best_epochs[phase] = int(read_info(paths.bundle).metrics["best_epoch"])
    if wanted:
        links = [
            Link(
                phase,
                for_epochs(read_settings(params, dataset, phase), best_epochs[phase]),
                project.work(REFIT, dataset, phase),
                f"{dataset}: {phase} on training and validation images",
                decided[phase],
            )
            for phase in CHAIN
        ]
        last = train_chain(dataset, links, last.prepared, device, report)[-1]
    else:
        report.info(f"{dataset}: refit is false, so the validated network is what is used")
    _publish(last, project.bundle(dataset, REFIT), project.scores(dataset, REFIT))


def for_epochs(settings: PhaseSettings, epochs: int) -> PhaseSettings:
    """Return the settings of a phase that is refitted for so many epochs."""
    phase = msgspec.structs.replace(settings.phase, epochs=epochs)
    return msgspec.structs.replace(settings, phase=phase, refit=True)


def _publish(trained: PhasePaths, bundle: Path, scores: Path) -> None:
    work = work_folder(bundle)
    shutil.copytree(trained.bundle, work, dirs_exist_ok=True)
    publish(work, bundle)
    scores.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(trained.scores, scores)
