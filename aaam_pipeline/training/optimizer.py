"""Adam, as the paper has it, with a learning rate for each group of parameters, and the schedule of these rates."""

import math

import torch
from torch.optim.lr_scheduler import LambdaLR

from aaam_pipeline.core.errors import TrainingError
from aaam_pipeline.models import Network
from aaam_pipeline.training.phases import PhaseParams

WARM_UP = 0.1


def make_optimizer(network: Network, params: PhaseParams, device: torch.device) -> torch.optim.Adam:
    """Return Adam over the groups that have a learning rate above 0; the others are frozen.

    Raises:
        TrainingError: all groups would be.
    """
    groups = []
    for name, parameters in network.groups().items():
        members, rate = list(parameters), getattr(params.lr, name)
        for parameter in members:
            parameter.requires_grad_(rate > 0)
        if members and rate > 0:
            groups.append({"params": members, "lr": rate, "initial_lr": rate})
    if not groups:
        raise TrainingError("all learning rates are 0: nothing would be trained")
    # one kernel for all parameters instead of several for each
    return torch.optim.Adam(groups, weight_decay=params.weight_decay, fused=device.type == "cuda")


def make_scheduler(
    optimizer: torch.optim.Optimizer, params: PhaseParams, steps_per_epoch: int, first_step: int = 0
) -> LambdaLR:
    """Return the schedule of the learning rates of a phase, from its step `first_step` on.

    The rates depend on the step alone, so every epoch makes its own schedule and a checkpoint holds nothing of it.
    """

    def factor(step: int) -> float:
        if params.schedule == "constant":
            return 1.0
        epoch, batch = divmod(step, steps_per_epoch)
        # the share of the phase that is over
        done = (epoch + batch / steps_per_epoch) / params.epochs
        if done < WARM_UP:
            return 0.04 + 0.96 * done / WARM_UP
        return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))

    return LambdaLR(optimizer, factor, last_epoch=first_step - 1)
