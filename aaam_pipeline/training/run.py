"""The stages `train_bce`, `train_joint` and `train_hard`: read, train a phase, write its bundle, scores and history."""

import csv
import io
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from msgspec import Meta

import aaam_pipeline
from aaam_pipeline import metrics
from aaam_pipeline.core import artifacts, params, schema
from aaam_pipeline.core.calibration import calibrate
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.datasets import prepare
from aaam_pipeline.models import ModelParams, Network, bundle
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training.checkpoint import Progress, Row
from aaam_pipeline.training.phases import PHASES, PhaseParams
from aaam_pipeline.training.trainer import Task, TrainParams, predict, train

CODE = ("core", "datasets", "metrics", "models", "training")


class Places(NamedTuple):
    """Where a phase reads and writes. `work` keeps the checkpoint and lies outside what DVC deletes."""

    prepared: Path
    start: Path | None
    bundle: Path
    scores: Path
    history: Path
    work: Path


def run_phase(dataset: str, phase_name: str, params_path: Path, places: Places, device: str, report: Reporter) -> None:
    """Train one phase of a data set and publish its results; goes on from a checkpoint of the same work.

    Raises:
        ParamsError, DeviceError, DatasetError, TrainingError, IntegrityError: as their docstrings say.
    """
    target = bundle.choose_device(device)
    model = params.load(params_path, f"{dataset}.model", ModelParams)
    labels = prepare.read_labels(places.prepared)
    task = Task(
        name=f"{dataset} {phase_name}",
        phase=PHASES[phase_name],
        params=params.load(params_path, f"{dataset}.phases.{phase_name}", PhaseParams),
        common=params.load(params_path, f"{dataset}.train", TrainParams),
        preprocess=params.load(params_path, f"{dataset}.preprocess", Preprocess),
        train=prepare.read_split(places.prepared, "train"),
        val=prepare.read_split(places.prepared, "val"),
        k=params.load(params_path, f"{dataset}.k", Annotated[int, Meta(ge=1)]),  # type: ignore[arg-type]
        device=target,
    )
    torch.use_deterministic_algorithms(target.type == "cpu")
    network = _starting_network(model, task, places, labels)
    places.work.mkdir(parents=True, exist_ok=True)
    progress = train(network, task, places.work, _fingerprint(task, model, places), report)

    info = _finish(dataset, network, task, model, labels, progress, places)
    _write_history(places.history, progress.history)
    saved = bundle.save(network, info, places.bundle)
    (places.work / "checkpoint.safetensors").unlink(missing_ok=True)
    report.say(f"{task.name}: {saved.model_id}, best epoch {progress.best_epoch}, mAP {progress.best_map:.4f}")


def _finish(
    dataset: str,
    network: Network,
    task: Task,
    model: ModelParams,
    labels: list[str],
    progress: Progress,
    places: Places,
) -> bundle.BundleInfo:
    """Choose on validation what belongs to the bundle, score the test split, and return what the bundle says."""
    targets_NL = task.val.targets_NL
    scores_NL, embedding_ND = predict(network, task.preprocess, task.val.pixels_NSS3, task.device)
    calibration = metrics.fit_calibration(scores_NL, targets_NL)
    calibrated_NL = calibrate(scores_NL, calibration)
    neighbours = metrics.choose_neighbours(calibrated_NL, targets_NL, embedding_ND)
    test = prepare.read_split(places.prepared, "test")
    scored = predict(network, task.preprocess, test.pixels_NSS3, task.device)
    schema.write_scores(
        places.scores,
        schema.ScoredSplit(
            test.image_ids, scored[0], test.targets_NL, labels, task.k, calibration, schema.half(scored[1]), neighbours
        ),
    )
    return bundle.BundleInfo(
        format=bundle.FORMAT,
        version=bundle.VERSION,
        model_id="",
        architecture=model,
        preprocess=task.preprocess,
        vocabulary=labels,
        calibration=calibration,
        thresholds=metrics.best_f1_thresholds(calibrated_NL, targets_NL).tolist(),
        k=task.k,
        dataset=dataset,
        phase=task.phase.name,
        metrics={"best_epoch": progress.best_epoch, "val": metrics.evaluate(scores_NL, targets_NL, task.k)},
        weights_sha256="",
    )


def _starting_network(model: ModelParams, task: Task, places: Places, labels: list[str]) -> Network:
    if places.start is None:
        torch.manual_seed(derive(task.common.seed, "weights"))
        return Network(model, len(labels), task.preprocess.size)
    before = bundle.load(places.start, task.device)
    if (before.info.architecture, before.info.preprocess, before.info.vocabulary) != (model, task.preprocess, labels):
        raise IntegrityError(f"{places.start} was trained with another model section; run the earlier phase again")
    return before.network


def _fingerprint(task: Task, model: ModelParams, places: Places) -> str:
    """Identify this very work: settings, data, starting weights, code, and what computes it."""
    package = Path(aaam_pipeline.__file__).parent
    start = artifacts.file_sha256(places.start / "model.safetensors") if places.start else None
    sections = [params.to_dict(each) for each in (model, task.params, task.common, task.preprocess)]
    return artifacts.fingerprint(
        {
            "task": [task.name, task.k, sections],
            "data": prepare.content_fingerprint(places.prepared),
            "start": start,
            "code": artifacts.sources_fingerprint(package / room for room in CODE),
            "torch": [torch.__version__, str(task.device)],
        }
    )


def _write_history(path: Path, history: list[Row]) -> None:
    """Write the training curve as CSV for `dvc plots`; epoch 0 has no training losses."""
    names = list(dict.fromkeys(name for row in reversed(history) for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    artifacts.write_bytes(path, text.getvalue().encode())
