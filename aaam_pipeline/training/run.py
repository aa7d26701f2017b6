"""The training stages: read, train a phase, write its bundle, scores, history and prediction paths."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from aaam_pipeline import metrics
from aaam_pipeline.core import artifacts
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.core.progress import NullReporter, Reporter
from aaam_pipeline.core.project import Project
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.datasets.prepared import Split, content_fingerprint, read_labels, read_split
from aaam_pipeline.formats.calibration import Calibration, calibrate
from aaam_pipeline.formats.columns import to_float16
from aaam_pipeline.formats.recordings import write_recording
from aaam_pipeline.formats.scaling import Scaling
from aaam_pipeline.formats.scores import ScoredSplit, read_scores, write_scores
from aaam_pipeline.models import Network, bundle
from aaam_pipeline.models.info import GENERATED
from aaam_pipeline.training.adopt import adopt
from aaam_pipeline.training.bundle_parts import familiarity_with, form_maker, word_facts
from aaam_pipeline.training.device import set_up_process
from aaam_pipeline.training.distributed import DistributedContext
from aaam_pipeline.training.joined import joined
from aaam_pipeline.training.phases import PHASES, PhaseSettings
from aaam_pipeline.training.predict import SplitPredictions, predict
from aaam_pipeline.training.prediction_tracker import IMAGES, PredictionTracker
from aaam_pipeline.training.state import HistoryRow, PhaseStatus, TrainJob
from aaam_pipeline.training.trainer import train

CODE = ("core", "formats", "imaging", "datasets/listing.py", "datasets/prepared.py", "metrics", "models", "training")


class PhasePaths(NamedTuple):
    """Where a phase reads and writes. `work` keeps the checkpoint and lies outside what DVC deletes.

    `start`: the bundle of the phase before. `validation`: the metrics of the validation split, by which settings are
    chosen. `recording`: the prediction paths of a few test images; None: they are not recorded. `decided`: where a
    phase trains on validation as well, the paths of the same phase that was validated. `origin`: a bundle, maybe of
    other labels, that a phase without `start` takes its network from.
    """

    prepared: Path
    start: Path | None
    bundle: Path
    scores: Path
    history: Path
    recording: Path | None
    validation: Path
    work: Path
    decided: "PhasePaths | None" = None
    origin: Path | None = None


def phase_paths(project: Project, dataset: str, phase: str) -> PhasePaths:
    """Return where a phase of a data set reads and writes in a project."""
    after = PHASES[phase].after
    return PhasePaths(
        prepared=project.prepared(dataset),
        start=project.bundle(dataset, after) if after else None,
        bundle=project.bundle(dataset, phase),
        scores=project.scores(dataset, phase),
        history=project.history(dataset, phase),
        recording=project.recordings(dataset) / f"{phase}.parquet",
        validation=project.validation(dataset, phase),
        work=project.work("train", dataset, phase),
    )


def run_phase(
    dataset: str, phase: str, settings: PhaseSettings, paths: PhasePaths, device: str, report: Reporter
) -> None:
    """Train one phase of a data set and publish its results; resumes from a checkpoint of the same work.

    Started by `torchrun`, the processes train together, and the main one writes and reports.

    Raises:
        DeviceError, DatasetError, TrainingError, IntegrityError: as their docstrings say.
    """
    context = DistributedContext(device)
    labels = read_labels(paths.prepared)
    train_split, val_split = (read_split(paths.prepared, name) for name in ("train", "val"))
    val = None if settings.refit else val_split
    if settings.refit:
        train_split = joined(train_split, val_split)
    network = _starting_network(settings, paths, labels, train_split, context)
    set_up_process(context.device)
    job = TrainJob(
        name=f"{dataset} {phase}",
        phase=PHASES[phase],
        settings=settings,
        train=train_split,
        val=val,
        test=read_split(paths.prepared, "test"),
        labels=labels,
        context=context,
        checkpoint=paths.work / "checkpoint.safetensors",
        fingerprint=fingerprint(dataset, phase, settings, paths, context),
        report=report if context.is_main_process else NullReporter(),
        validated=bundle.read_info(paths.decided.bundle) if paths.decided else None,
    )
    make_form = form_maker(job)
    paths.work.mkdir(parents=True, exist_ok=True)
    tracker = PredictionTracker(
        job.test, settings.k, settings.preprocess, context.device, IMAGES if paths.recording else 0
    )
    status = train(network, job, tracker)
    some = metrics.sampled(len(job.train.pixels_NSS3))
    pictures = {"train": job.train.pixels_NSS3[some], "test": job.test.pixels_NSS3}
    if val:
        pictures["val"] = val.pixels_NSS3
    found = {split: predict(network, settings.preprocess, each, context) for split, each in pictures.items()}
    if context.is_main_process:
        info = _publish(dataset, job, status, paths, found)
        if paths.recording:
            write_recording(paths.recording, tracker.recording(labels))
        familiarity = familiarity_with(found, paths.decided.bundle if paths.decided else None)
        saved = bundle.save(network, info, paths.bundle, make_form, familiarity)
        job.checkpoint.unlink(missing_ok=True)
        of = f"epoch {status.best_epoch}" + (f", validation mAP {status.best_map:.4f}" if val else "")
        report.info(f"{job.name}: {saved.model_id}, {of}")
    context.barrier()


class Decided(NamedTuple):
    """What validation decides besides the weights: as the fields of `BundleInfo`, and the maxima of scaled scores."""

    calibration: Calibration | None
    thresholds: list[float]
    scaling: Scaling | None
    metrics: dict[str, Any]


def _decide(job: TrainJob, paths: PhasePaths, found: dict[str, SplitPredictions]) -> Decided:
    """Decide by the validation images, or as it was decided for the network that was validated.

    Without either, scores stay as they are and the thresholds are 0.5.
    """
    if job.validated and paths.decided:
        info, scaling = job.validated, read_scores(paths.decided.scores).scaling
        return Decided(info.calibration, info.thresholds, scaling, info.metrics["val"])
    if not job.val:
        return Decided(None, [metrics.UNSEEN] * len(job.labels), None, {})
    scores_NL, targets_NL, k = found["val"].scores_NL, job.val.targets_NL, job.settings.k
    calibration = metrics.fit_calibration(scores_NL, targets_NL)
    thresholds = metrics.choose_thresholds(calibrate(scores_NL, calibration), targets_NL).tolist()
    scaling = metrics.choose_scaling(found["train"].scores_NL, scores_NL, targets_NL, k)
    return Decided(calibration, thresholds, scaling, metrics.evaluate(scores_NL, targets_NL, k))


def _publish(
    dataset: str, job: TrainJob, status: PhaseStatus, paths: PhasePaths, found: dict[str, SplitPredictions]
) -> bundle.BundleInfo:
    """Write scores and history, and return what the bundle says."""
    settings, truth, test = job.settings, job.test, found["test"]
    decided = _decide(job, paths, found)
    scored = ScoredSplit(
        truth.image_ids, test.scores_NL, truth.targets_NL, job.labels, settings.k, decided.calibration,
        to_float16(test.embedding_ND), decided.scaling,
    )  # fmt: skip
    write_scores(paths.scores, scored)
    artifacts.write_json(paths.validation, decided.metrics)
    _write_history(paths.history, status.history)
    return bundle.BundleInfo(
        architecture=settings.model,
        preprocess=settings.preprocess,
        vocabulary=job.labels,
        calibration=decided.calibration,
        thresholds=decided.thresholds,
        k=settings.k,
        dataset=dataset,
        phase=job.phase.name,
        metrics={"best_epoch": status.best_epoch, "val": decided.metrics} | _more(settings, status),
        generated=dataset in GENERATED,
        words=word_facts(job, found["val"].scores_NL if job.val else None),
    )


def _more(settings: PhaseSettings, status: PhaseStatus) -> dict[str, Any]:
    """Return what only some bundles say: that they are refitted, and the penalty of the classifier's start."""
    return {
        **({"refit": True} if settings.refit else {}),
        **({} if status.penalty is None else {"penalty": status.penalty}),
    }


def _starting_network(
    settings: PhaseSettings, paths: PhasePaths, labels: list[str], train_split: Split, context: DistributedContext
) -> Network:
    """Return the network of the phase before, or of the bundle `origin`; or a new one.

    A new classifier gives every label its share of the training images.

    Images of which the label is unknown do not count.
    Without that, the first epochs teach the backbone little but that labels are rare (as Lin et al. 2017, section 3.3).
    """
    model, preprocess = settings.model, settings.preprocess
    if paths.start is None:
        torch.manual_seed(derive(settings.train.seed, "weights"))
        targets_NL = train_split.targets_NL
        known_L, with_label_L = ((targets_NL >= least).sum(axis=0, dtype=np.float64) for least in (0, 1))
        share_L = torch.from_numpy((with_label_L + 0.5) / (known_L + 1))
        if paths.origin:
            return adopt(paths.origin, model, preprocess, labels, share_L)
        network = Network(model, len(labels), preprocess.size)
        with torch.no_grad():
            network.classifier.bias.copy_(share_L.logit())
        return network
    before = bundle.load(paths.start, context.device)
    if (before.info.architecture, before.info.preprocess, before.info.vocabulary) != (model, preprocess, labels):
        raise IntegrityError(f"{paths.start} was trained with another model section; run the earlier phase again")
    return before.network


def fingerprint(
    dataset: str, phase: str, settings: PhaseSettings, paths: PhasePaths, context: DistributedContext
) -> str:
    """Identify this very work: settings, data, starting weights, code, and what computes it."""
    start = artifacts.file_sha256(paths.start / "bundle.json") if paths.start else None
    decided = paths.decided and [
        artifacts.file_sha256(each) for each in (paths.decided.bundle / "bundle.json", paths.decided.scores)
    ]
    origin = {"origin": artifacts.file_sha256(paths.origin / "bundle.json")} if paths.origin else {}
    return artifacts.fingerprint(
        {
            "task": [dataset, phase, msgspec.to_builtins(settings)],
            "data": content_fingerprint(paths.prepared),
            "start": start,
            "decided": decided,
            "code": artifacts.sources_fingerprint(CODE),
            "torch": [torch.__version__, context.device.type, context.world_size],
            **origin,
        }
    )


def _write_history(path: Path, history: list[HistoryRow]) -> None:
    """Write the training curve as CSV for `dvc plots`; epoch 0 has no training losses."""
    names = list(dict.fromkeys(name for row in reversed(history) for name in row))
    artifacts.write_csv(path, [names, *([row.get(name, "") for name in names] for row in history)])
