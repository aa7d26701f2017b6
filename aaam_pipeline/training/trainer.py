"""One loop for all phases, to be read from top to bottom.

Shapes: B images of a batch (of this process), N images of a split, L labels, T triplets.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aaam_pipeline import metrics
from aaam_pipeline.core.errors import TrainingError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.datasets.prepared import Split
from aaam_pipeline.models import Network
from aaam_pipeline.models.warp import warp_loss
from aaam_pipeline.training import feed, losses
from aaam_pipeline.training.checkpoint import Progress, Row, load_checkpoint, save_checkpoint
from aaam_pipeline.training.loader import Batch, shuffled
from aaam_pipeline.training.optimizer import make_optimizer, schedule
from aaam_pipeline.training.phases import Phase
from aaam_pipeline.training.precision import autocast
from aaam_pipeline.training.predict import predict
from aaam_pipeline.training.recorder import MOMENTS_AN_EPOCH, Recorder
from aaam_pipeline.training.settings import Settings
from aaam_pipeline.training.team import Team

Forward = Callable[[Tensor], Tensor]
# what is measured in an epoch, in the order of `Progress.totals`
MEASURED = ("loss", "bce", "triplet_margin", "triplets_per_image")
# looking at a loss makes the CPU wait for a GPU: only now and then
LOOK_EVERY = 50
CHECKPOINT_SECONDS = 600.0


class Task(NamedTuple):
    """All that a phase works with and does not change."""

    name: str
    phase: Phase
    settings: Settings
    train: Split
    val: Split
    test: Split
    labels: list[str]
    team: Team
    checkpoint: Path
    fingerprint: str
    report: Reporter


class Course(NamedTuple):
    """All that changes while a phase is trained. `best`: the weights of the best epoch so far."""

    network: Network
    optimizer: torch.optim.Optimizer
    recorder: Recorder
    progress: Progress
    best: dict[str, Tensor]
    miner: torch.Generator


def train(network: Network, task: Task, recorder: Recorder) -> Progress:
    """Train `network` through one phase and leave it with the weights of its best epoch by validation mAP.

    Epoch 0 is the network as it came, so a phase never makes validation worse. A checkpoint is kept after every epoch
    and every ten minutes; where one of the same work is found, training goes on from it.

    Raises:
        TrainingError: the loss is not a number any more.
    """
    params, team = task.settings.phase, task.team
    network.to(team.device).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(network, params, team.device)
    course = Course(network, optimizer, recorder, Progress(task.fingerprint), {}, torch.Generator())
    course = _resumed(course, task) or _begun(course, task)
    progress = course.progress
    together = team.wrap(network)
    forward = torch.compile(together) if task.settings.train.compile else together
    pictures = feed.choose(task.train, team.device)

    while progress.step or (progress.epoch < params.epochs and progress.epoch - progress.best_epoch < params.patience):
        started = time.perf_counter()
        if not progress.step:
            progress.epoch += 1
            progress.totals = [0.0] * len(MEASURED)
        measured = run_epoch(course, task, forward, pictures)
        progress.step = 0
        _validate(course, task, measured)
        _save(course, task)
        task.report.info(_line(task, progress, time.perf_counter() - started))

    network.load_state_dict(course.best)
    network.eval()
    return progress


def run_epoch(course: Course, task: Task, forward: Forward, pictures: feed.Feed) -> Row:
    """Run one epoch, or what is left of it; return its mean losses. Its chance comes from (seed, phase, epoch)."""
    common, params, progress, team = task.settings.train, task.settings.phase, course.progress, task.team
    seed = derive(common.seed, task.phase.name, progress.epoch)
    if not progress.step:
        torch.manual_seed(derive(seed, team.rank) if team.rank else seed)
        course.miner.manual_seed(derive(seed, "triplets"))
    course.network.train()
    images = len(task.train.image_ids)
    steps = math.ceil(images / common.batch_size)
    record_every = max(steps // MOMENTS_AN_EPOCH, 1)
    totals = torch.tensor(progress.totals, dtype=torch.float64, device=team.device)
    saved = time.monotonic()
    first = progress.step
    title = f"{task.name} epoch {progress.epoch}/{params.epochs}"
    with task.report.task(title, images, min(first * common.batch_size, images)) as advance:
        batches = shuffled(
            pictures, images, task.settings.preprocess, common.augment, common.batch_size, seed, team, first
        )
        for step, batch in enumerate(batches, start=first):
            factor = schedule(params, (progress.epoch - 1 + step / steps) / params.epochs)
            for group in course.optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor
            loss, terms = _loss(forward, task, batch, course.miner)
            course.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            course.optimizer.step()
            totals += terms * (batch.of / images)
            progress.step = step + 1
            if progress.step % record_every == 0:
                course.recorder.record(course.network, (progress.epoch - 1) * steps + progress.step)
            if progress.step % LOOK_EVERY == 0:
                _check_finite(totals, task, progress.epoch)
                if any(team.everyones(time.monotonic() - saved > CHECKPOINT_SECONDS)):
                    progress.totals = totals.tolist()
                    _save(course, task)
                    saved = time.monotonic()
            advance(batch.of)
    _check_finite(totals, task, progress.epoch)
    return dict(zip(MEASURED, totals.tolist(), strict=True))


def _loss(forward: Forward, task: Task, batch: Batch, miner: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the loss to differentiate, and what is measured: the means over the whole batch in the order `MEASURED`.

    Gradients are averaged over the team's processes, so each process's share of the sums counts `team.size` times.
    """
    params, team = task.settings.phase, task.team
    with autocast(task.settings.train.precision, team.device):
        logits_BL = forward(batch.images_B3SS)
    logits_BL = logits_BL.float()
    share = len(logits_BL) * team.size / batch.of
    if task.phase.objective == "warp":
        loss = warp_loss(logits_BL, batch.targets_BL, params.margin, miner) * share
        with torch.no_grad():
            cross_entropy = losses.bce(logits_BL, batch.targets_BL) * share
        return loss, _means(loss, cross_entropy, torch.zeros_like(loss), 0.0, team)
    triplets_T4, in_all = _mine(logits_BL.detach(), task, batch, miner)
    cross_entropy = losses.bce(logits_BL, batch.targets_BL) * share
    margin = losses.triplet_margin(logits_BL.sigmoid(), triplets_T4, params.margin, "sum") * (
        team.size / max(in_all, 1)
    )
    loss = cross_entropy + params.weight * margin
    return loss, _means(loss, cross_entropy, margin, in_all / batch.of, team)


def _mine(logits_BL: Tensor, task: Task, batch: Batch, miner: torch.Generator) -> tuple[Tensor, int]:
    """Return this process's triplets, and how many the whole batch has; all processes mine the same whole batch."""
    team = task.team
    if not task.phase.mine:
        return torch.empty((0, 4), dtype=torch.int64, device=team.device), 0
    probs_BL = team.gather(logits_BL, batch.of).sigmoid()
    found_T4 = task.phase.mine(probs_BL, team.gather(batch.targets_BL, batch.of), task.settings.k, miner)
    if team.size == 1:
        return found_T4, len(found_T4)
    own_T4 = found_T4[found_T4[:, 0] % team.size == team.rank]
    own_T4[:, 0] //= team.size
    return own_T4, len(found_T4)


def _means(loss: Tensor, bce: Tensor, margin: Tensor, triplets: float, team: Team) -> Tensor:
    own = torch.stack([loss.detach(), bce.detach(), margin.detach()]).double()
    return torch.cat([team.total(own) / team.size, own.new_tensor([triplets])])


def _begun(course: Course, task: Task) -> Course:
    """Return the course at its start, with the epoch 0 of its history."""
    course.recorder.record(course.network, 0)
    _validate(course, task, {})
    return course


def _resumed(course: Course, task: Task) -> Course | None:
    """Return the course as a checkpoint of the same work left it, or None."""
    found = load_checkpoint(task.checkpoint, task.fingerprint)
    if not found:
        return None
    progress, state = found
    course.network.load_state_dict(state.network)
    course.optimizer.load_state_dict({**course.optimizer.state_dict(), "state": state.optimizer})
    course.recorder.steps = progress.recorded_steps
    course.recorder.scores_SML = [state.recorded[str(number)] for number in range(len(progress.recorded_steps))]
    rank = task.team.rank
    if progress.step:
        torch.set_rng_state(state.chance[f"{rank}.cpu"])
        course.miner.set_state(state.chance[f"{rank}.miner"])
        if task.team.device.type == "cuda":
            torch.cuda.set_rng_state(state.chance[f"{rank}.cuda"], task.team.device)
    at = f"in epoch {progress.epoch}" if progress.step else f"after epoch {progress.epoch}"
    task.report.info(f"{task.name}: goes on {at}, as left by an earlier run")
    return course._replace(progress=progress, best=state.best)


def _save(course: Course, task: Task) -> None:
    """Replace the checkpoint."""
    chance = {"cpu": torch.get_rng_state(), "miner": course.miner.get_state()}
    if task.team.device.type == "cuda":
        chance["cuda"] = torch.cuda.get_rng_state(task.team.device)
    everyones = task.team.everyones(chance)
    if not task.team.leads:
        return
    course.progress.recorded_steps = course.recorder.steps
    save_checkpoint(
        task.checkpoint, course.progress, course.network, course.best, course.optimizer, course.recorder.scores_SML,
        {f"{rank}.{name}": state for rank, own in enumerate(everyones) for name, state in own.items()},
    )  # fmt: skip


def _validate(course: Course, task: Task, measured: Row) -> None:
    """Add an epoch's row to the history; keep a copy of the weights where they are the best so far."""
    progress = course.progress
    scores_NL = predict(course.network, task.settings.preprocess, task.val.pixels_NSS3, task.team).scores_NL
    if np.isnan(scores_NL).any():
        # the last step of an epoch can ruin weights that no loss was computed with yet
        raise _not_a_number(task, progress.epoch)
    figures = metrics.evaluate(scores_NL, task.val.targets_NL, task.settings.k)
    row: Row = {"epoch": progress.epoch} | measured
    progress.history.append(row | {f"val_{name}": value for name, value in figures.items()})
    if figures["map"] > progress.best_map:
        progress.best_map, progress.best_epoch = figures["map"], progress.epoch
        course.best.clear()
        course.best.update({name: tensor.detach().clone() for name, tensor in course.network.state_dict().items()})


def _check_finite(totals: Tensor, task: Task, epoch: int) -> None:
    if not math.isfinite(totals.sum().item()):
        raise _not_a_number(task, epoch)


def _not_a_number(task: Task, epoch: int) -> TrainingError:
    return TrainingError(f"{task.name}: the loss is not a number in epoch {epoch}; lower the learning rates")


def _line(task: Task, progress: Progress, seconds: float) -> str:
    row = progress.history[-1]
    best = "best so far" if progress.best_epoch == progress.epoch else f"best {progress.best_map:.4f}"
    return (
        f"{task.name} epoch {progress.epoch}/{task.settings.phase.epochs}: loss {row['loss']:.4f}, validation mAP "
        f"{row['val_map']:.4f} ({best}), {len(task.train.image_ids) / seconds:.0f} images/s"
    )
