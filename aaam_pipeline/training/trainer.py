"""One loop for all three phases, to be read from top to bottom.

Shapes: B batch, N images of a split, L labels, T triplets.
"""

import math
import time
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor

from aaam_pipeline import metrics
from aaam_pipeline.core.errors import TrainingError
from aaam_pipeline.core.params import Struct
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.datasets.prepare import Split
from aaam_pipeline.models import Network
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training import losses
from aaam_pipeline.training.checkpoint import Progress, Row, load_checkpoint, save_checkpoint
from aaam_pipeline.training.loader import Augment, Batch, shuffled
from aaam_pipeline.training.phases import Phase, PhaseParams

EVALUATION_BATCH = 128


class TrainParams(Struct, frozen=True):
    """`train` of params.yaml, common to the phases. `precision: auto` is bf16 autocast on a GPU and fp32 on a CPU."""

    seed: int = 1
    batch_size: Annotated[int, Meta(ge=2)] = 64
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    augment: Augment = Augment()


class Task(NamedTuple):
    """All that a phase works with and does not change."""

    name: str
    phase: Phase
    params: PhaseParams
    common: TrainParams
    preprocess: Preprocess
    train: Split
    val: Split
    k: int
    device: torch.device


def train(network: Network, task: Task, work: Path, fingerprint: str, report: Reporter) -> Progress:
    """Train `network` through one phase and leave it with the weights of its best epoch by validation mAP.

    Epoch 0 is the network as it came, so a phase never makes validation worse. A checkpoint is kept in the folder
    `work` after every epoch; where one with the same fingerprint lies there, training goes on from it.

    Raises:
        TrainingError: the loss is not a number any more.
    """
    params = task.params
    network.to(task.device).to(memory_format=torch.channels_last)
    optimizer = _optimizer(network, params)
    found = load_checkpoint(work / "checkpoint.safetensors", fingerprint)
    if found:
        progress, state = found
        network.load_state_dict(state.network)
        best = state.best
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state.optimizer})
        report.say(f"{task.name}: goes on after epoch {progress.epoch}, as left by an earlier run")
    else:
        progress = Progress(fingerprint)
        best = _validate(network, task, progress, {})

    while progress.epoch < params.epochs and progress.epoch - progress.best_epoch < params.patience:
        started = time.perf_counter()
        progress.epoch += 1
        measured = _epoch(network, task, optimizer, progress.epoch, report)
        best = _validate(network, task, progress, measured) or best
        save_checkpoint(work / "checkpoint.safetensors", progress, network, best, optimizer)
        report.say(_line(task, progress, time.perf_counter() - started))

    network.load_state_dict(best)
    network.eval()
    return progress


def _epoch(network: Network, task: Task, optimizer: torch.optim.Optimizer, epoch: int, report: Reporter) -> Row:
    """Run one epoch; return its mean losses. All its chance comes from (seed, phase, epoch)."""
    seed = derive(task.common.seed, task.phase.name, epoch)
    torch.manual_seed(seed)
    miner = torch.Generator().manual_seed(derive(seed, "triplets"))
    network.train()
    totals = {"loss": 0.0, "bce": 0.0, "triplet_margin": 0.0, "triplets_per_image": 0.0}
    images = len(task.train.image_ids)
    steps = math.ceil(images / task.common.batch_size)
    with report.task(f"{task.name} epoch {epoch}/{task.params.epochs}", images) as advance:
        batches = shuffled(task.train, task.preprocess, task.common.augment, task.common.batch_size, seed, task.device)
        for step, batch in enumerate(batches):
            factor = _schedule(task.params, (epoch - 1 + step / steps) / task.params.epochs)
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor
            joint, triplets = _loss(network, task, batch, miner)
            if not math.isfinite(joint.loss.item()):
                raise _not_a_number(task, epoch)
            optimizer.zero_grad(set_to_none=True)
            joint.loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            for name, value in joint._asdict().items():
                totals[name] += value.item() * len(batch.images_B3SS) / images
            totals["triplets_per_image"] += triplets / images
            advance(len(batch.images_B3SS))
    return dict(totals)


def _loss(network: Network, task: Task, batch: Batch, miner: torch.Generator) -> tuple[losses.Joint, int]:
    """Return the loss of a batch and how many triplets it looked at; without any it is the cross-entropy alone."""
    with autocast(task.common.precision, task.device):
        logits_BL = network(batch.images_B3SS)
    logits_BL = logits_BL.float()
    triplets_T4 = torch.empty((0, 4), dtype=torch.int64, device=task.device)
    if task.phase.mine:
        triplets_T4 = task.phase.mine(logits_BL.detach().sigmoid(), batch.targets_BL, task.k, miner)
    loss = losses.joint(logits_BL, batch.targets_BL, triplets_T4, task.params.margin, task.params.weight)
    return loss, len(triplets_T4)


def _validate(network: Network, task: Task, progress: Progress, measured: Row) -> dict[str, Tensor]:
    """Add an epoch's row to the history; return a copy of the weights where they are the best so far, else nothing."""
    scores_NL, _ = predict(network, task.preprocess, task.val.pixels_NSS3, task.device)
    if np.isnan(scores_NL).any():
        # the last step of an epoch can ruin weights that no loss was computed with yet
        raise _not_a_number(task, progress.epoch)
    figures = metrics.evaluate(scores_NL, task.val.targets_NL, task.k)
    row: Row = {"epoch": progress.epoch} | measured
    progress.history.append(row | {f"val_{name}": value for name, value in figures.items()})
    if figures["map"] <= progress.best_map:
        return {}
    progress.best_map, progress.best_epoch = figures["map"], progress.epoch
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _not_a_number(task: Task, epoch: int) -> TrainingError:
    return TrainingError(f"{task.name}: the loss is not a number in epoch {epoch}; lower the learning rates")


def predict(
    network: Network, preprocess: Preprocess, pixels_NSS3: NDArray[np.uint8], device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return probabilities (N, L) and embeddings (N, D) of prepared pictures; the network stays in evaluation mode."""
    network.eval()
    batches = range(0, len(pixels_NSS3), EVALUATION_BATCH)
    predicted = [
        network.predict(preprocess.normalise(torch.tensor(pixels_NSS3[i : i + EVALUATION_BATCH], device=device)))
        for i in batches
    ]
    scores_NL, embedding_ND = (torch.cat(parts).cpu().numpy() for parts in zip(*predicted, strict=True))
    return scores_NL, embedding_ND


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which the network's forward pass runs."""
    enabled = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def _optimizer(network: Network, params: PhaseParams) -> torch.optim.Adam:
    """Return Adam with a learning rate for each group of parameters; a group with rate 0 is frozen."""
    rates = {"features": params.lr.features, "attention": params.lr.attention, "classifier": params.lr.classifier}
    groups = []
    for name, parameters in network.groups().items():
        members = list(parameters)
        for parameter in members:
            parameter.requires_grad_(rates[name] > 0)
        if members and rates[name] > 0:
            groups.append({"params": members, "lr": rates[name], "base_lr": rates[name]})
    if not groups:
        raise TrainingError("all learning rates are 0: nothing would be trained")
    return torch.optim.Adam(groups, weight_decay=params.weight_decay)


def _schedule(params: PhaseParams, done: float) -> float:
    """Return the factor on the learning rates when a share `done` in [0, 1) of the phase is over."""
    if params.schedule == "constant":
        return 1.0
    warm_up = 0.1
    if done < warm_up:
        return 0.04 + 0.96 * done / warm_up
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


def _line(task: Task, progress: Progress, seconds: float) -> str:
    row = progress.history[-1]
    best = "best so far" if progress.best_epoch == progress.epoch else f"best {progress.best_map:.4f}"
    return (
        f"{task.name} epoch {progress.epoch}/{task.params.epochs}: loss {row['loss']:.4f}, validation mAP "
        f"{row['val_map']:.4f} ({best}), {len(task.train.image_ids) / seconds:.0f} images/s"
    )
