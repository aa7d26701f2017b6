"""Adam, as the paper has it, with a learning rate for each group of parameters, and the schedule of these rates.

AdamW (Loshchilov and Hutter 2019) takes the weight decay out of the gradient. The average of weights over the steps
(Polyak and Juditsky 1992; exponential, as Tarvainen and Valpola 2017) is less noisy than the last of them.
"""

import math

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from aaam_pipeline.core.errors import TrainingError
from aaam_pipeline.models import Network
from aaam_pipeline.training.phases import PhaseParams, TrainParams

OPTIMIZERS: dict[str, type[torch.optim.Adam]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def make_optimizer(
    network: Network, common: TrainParams, params: PhaseParams, device: torch.device
) -> torch.optim.Optimizer:
    """Return the optimizer over the groups that have a learning rate above 0; the others are frozen.

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
    make = OPTIMIZERS[common.optimizer]
    return make(groups, weight_decay=params.weight_decay, fused=device.type == "cuda")


def make_average(network: Network, decay: float) -> AveragedModel | None:
    """Return the exponential average of a network's weights, which `update_parameters` moves on; None for a decay of 0.

    The first steps count for less: the average of n steps reaches back over a tenth of them at most.
    """
    if not decay:
        return None

    def move(average: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        return average.lerp(current, 1 - min(decay, (1 + int(steps)) / (10 + int(steps))))

    return AveragedModel(network, avg_fn=move)


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
        warm_up = params.warm_up
        if done < warm_up:
            return 0.04 + 0.96 * done / warm_up
        return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))

    return LambdaLR(optimizer, factor, last_epoch=first_step - 1)
