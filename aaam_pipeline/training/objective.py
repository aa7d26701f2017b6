"""The loss of a batch that a phase minimises: Eq. 6, or WARP; equal for one process and for many.

Shapes: B images of this process's part of a batch, L labels, T triplets.
"""

import torch
from torch import Tensor

from aaam_pipeline.models.warp import warp_loss
from aaam_pipeline.training import losses
from aaam_pipeline.training.device import autocast
from aaam_pipeline.training.loaders import Batch
from aaam_pipeline.training.state import Forward, TrainJob


def batch_loss(job: TrainJob, forward: Forward, batch: Batch, miner: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the loss to differentiate, and the means over the whole batch in the order of `LOSS_METRICS`, float64.

    Eq. 6: L = L_BCE + lambda * L_TM, where L_TM is the mean over the batch's triplets; without triplets, L_BCE.
    Gradients are averaged over the processes, so each one's part of the sums counts `world_size` times.
    """
    params, context = job.settings.phase, job.context
    with autocast(job.settings.train.precision, context.device):
        logits_BL = forward(batch.images_B3SS)
    logits_BL = logits_BL.float()
    share = len(logits_BL) * context.world_size / batch.global_size
    triplets_T4, count = _mine(job, logits_BL.detach(), batch, miner)
    bce = losses.bce(logits_BL, batch.targets_BL) * share
    margin_sum = losses.triplet_margin(logits_BL.sigmoid(), triplets_T4, params.margin, "sum")
    margin = margin_sum * (context.world_size / max(count, 1))
    if job.phase.objective == "warp":
        loss = warp_loss(logits_BL, batch.targets_BL, params.margin, miner) * share
    else:
        loss = bce + params.weight * margin
    own = torch.stack([loss.detach(), bce.detach(), margin.detach()]).double()
    means = context.all_reduce_sum(own) / context.world_size
    return loss, torch.cat([means, own.new_tensor([count / batch.global_size])])


def _mine(job: TrainJob, logits_BL: Tensor, batch: Batch, miner: torch.Generator) -> tuple[Tensor, int]:
    """Return this process's triplets, and how many the whole batch has; all processes mine the same whole batch."""
    context = job.context
    if not job.phase.mine:
        return torch.empty((0, 4), dtype=torch.int64, device=context.device), 0
    probs_BL = context.all_gather(logits_BL, batch.global_size).sigmoid()
    targets_BL = context.all_gather(batch.targets_BL, batch.global_size)
    all_T4 = job.phase.mine(probs_BL, targets_BL, job.settings.k, miner)
    if context.world_size == 1:
        return all_T4, len(all_T4)
    own_T4 = all_T4[all_T4[:, 0] % context.world_size == context.rank]
    own_T4[:, 0] //= context.world_size
    return own_T4, len(all_T4)
