"""One loop for all phases, to be read from top to bottom.

Shapes: N images of a split, L labels.
"""

import math
import time

import torch

from aaam_pipeline import metrics
from aaam_pipeline.core.errors import TrainingError
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.models import Network
from aaam_pipeline.training.checkpoint import load_checkpoint, save_checkpoint
from aaam_pipeline.training.loaders import Loader, augmented_batches, make_loader
from aaam_pipeline.training.objective import batch_loss
from aaam_pipeline.training.optimizer import make_average, make_optimizer, make_scheduler
from aaam_pipeline.training.predict import predict
from aaam_pipeline.training.prediction_tracker import MOMENTS_AN_EPOCH, PredictionTracker
from aaam_pipeline.training.probe import fit_logistic, fit_probe
from aaam_pipeline.training.state import LOSS_METRICS, Forward, HistoryRow, PhaseStatus, TrainJob, TrainState

# looking at a loss makes the CPU wait for a GPU: only now and then
CHECK_EVERY = 50
CHECKPOINT_SECONDS = 600.0


def train(network: Network, job: TrainJob, tracker: PredictionTracker) -> PhaseStatus:
    """Train `network` through one phase; it ends with the weights of the best epoch by validation mAP, or of the last.

    Epoch 0 is the network as it came, so a phase that keeps its best epoch never makes validation worse. A checkpoint
    is kept after every epoch and every ten minutes; where there is one of the same work, training resumes from it.

    Raises:
        TrainingError: the loss is not a number any more.
    """
    common, params, context = job.settings.train, job.settings.phase, job.context
    network.to(context.device).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(network, common, params, context.device)
    average = make_average(network, common.ema)
    state = TrainState(network, optimizer, tracker, PhaseStatus(job.fingerprint), average)
    if load_checkpoint(job, state):
        at = f"in epoch {state.status.epoch}" if state.status.step else f"after epoch {state.status.epoch}"
        job.report.info(f"{job.name}: resumes {at}, where an earlier run stopped")
    else:
        if common.probe_epochs and not job.phase.after:
            if common.probe_epochs == "converged":
                state.status.penalty = fit_logistic(network, job)
            else:
                fit_probe(network, job, common.probe_epochs)
            if state.average:
                state.average.module.load_state_dict(network.state_dict())
        tracker.record(network, 0)
        validate(job, state, {})
    wrapped = context.wrap(network)
    forward = torch.compile(wrapped) if common.compile else wrapped
    loader = make_loader(job.train, context.device)

    status = state.status
    while status.step or (status.epoch < params.epochs and status.epoch - status.best_epoch < params.patience):
        started = time.perf_counter()
        if not status.step:
            status.begin_epoch()
        means = train_epoch(job, state, forward, loader)
        status.step = 0
        validate(job, state, means)
        save_checkpoint(job, state)
        job.report.info(_line(job, status, time.perf_counter() - started))

    network.load_state_dict(state.best_weights)
    network.eval()
    return status


def train_epoch(job: TrainJob, state: TrainState, forward: Forward, loader: Loader) -> HistoryRow:
    """Train for one epoch, or for what is left of it; return its mean losses.

    All that is random in it comes from (seed, phase, epoch).
    """
    common, params, status, context = job.settings.train, job.settings.phase, state.status, job.context
    seed = derive(common.seed, job.phase.name, status.epoch)
    if not status.step:
        torch.manual_seed(derive(seed, context.rank) if context.rank else seed)
        state.miner.manual_seed(derive(seed, "triplets"))
    images = len(job.train.image_ids)
    steps = math.ceil(images / common.batch_size)
    steps_before = (status.epoch - 1) * steps
    record_every = max(steps // MOMENTS_AN_EPOCH, 1)
    scheduler = make_scheduler(state.optimizer, params, steps, steps_before + status.step)
    batches = augmented_batches(
        loader, images, job.settings.preprocess, common.augment, common.batch_size, seed, context, skip=status.step
    )
    totals = torch.tensor(status.totals, dtype=torch.float64, device=context.device)
    saved = time.monotonic()
    state.network.train()
    title, done = f"{job.name} epoch {status.epoch}/{params.epochs}", min(status.step * common.batch_size, images)
    with job.report.task(title, images, done) as advance:
        for batch in batches:
            loss, means = batch_loss(job, forward, batch, state.miner)
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()
            scheduler.step()
            if state.average:
                state.average.update_parameters(state.network)
            totals += means * (batch.global_size / images)
            status.step += 1
            if status.step % record_every == 0:
                state.tracker.record(state.network, steps_before + status.step)
            if status.step % CHECK_EVERY == 0:
                _check_finite(totals.sum().item(), job, status.epoch)
                if any(context.all_gather_object(time.monotonic() - saved > CHECKPOINT_SECONDS)):
                    status.totals = totals.tolist()
                    save_checkpoint(job, state)
                    saved = time.monotonic()
            advance(batch.global_size)
    _check_finite(totals.sum().item(), job, status.epoch)
    return dict(zip(LOSS_METRICS, totals.tolist(), strict=True))


def validate(job: TrainJob, state: TrainState, means: HistoryRow) -> None:
    """Add an epoch's row to the history; keep a copy of the weights where they are the best so far, or the last."""
    status, measured = state.status, {}
    if job.val:
        scores_NL = predict(state.validated, job.settings.preprocess, job.val.pixels_NSS3, job.context).scores_NL
        # the last step of an epoch can ruin weights that no loss was computed with yet
        _check_finite(float(scores_NL.sum()), job, status.epoch)
        measured = metrics.evaluate(scores_NL, job.val.targets_NL, job.settings.k)
    row: HistoryRow = {"epoch": status.epoch} | means
    status.history.append(row | {f"val_{name}": value for name, value in measured.items()})
    if job.settings.keeps_last or measured["map"] > status.best_map:
        status.best_map, status.best_epoch = measured.get("map", status.best_map), status.epoch
        state.best_weights = {name: each.detach().clone() for name, each in state.validated.state_dict().items()}


def _check_finite(value: float, job: TrainJob, epoch: int) -> None:
    if not math.isfinite(value):
        raise TrainingError(f"{job.name}: the loss is not a number in epoch {epoch}; lower the learning rates")


def _line(job: TrainJob, status: PhaseStatus, seconds: float) -> str:
    row, validated = status.history[-1], ""
    if job.val:
        best = "best so far" if status.best_epoch == status.epoch else f"best {status.best_map:.4f}"
        validated = f", validation mAP {row['val_map']:.4f} ({'kept' if job.settings.keeps_last else best})"
    return (
        f"{job.name} epoch {status.epoch}/{job.settings.phase.epochs}: loss {row['loss']:.4f}{validated}, "
        f"{len(job.train.image_ids) / seconds:.0f} images/s"
    )
