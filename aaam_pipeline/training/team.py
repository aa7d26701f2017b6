"""The processes that train one network together, started by `torchrun`; a process alone is a team of one.

Shapes: B images of a batch, P processes.

A batch is dealt like cards: process r has its images r, r + P, r + 2P ... Triplets and means are of the whole batch of
all processes, so the loss is that of one process with the same batch.
"""

import os
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.models import Network, bundle

Value = TypeVar("Value")


class Team:
    """This process's place among those that train together: `rank` of `size`, and its `device`."""

    def __init__(self, device: str = "auto") -> None:
        """Join the processes that `torchrun` started, if it did; each has a GPU of its own where there are any.

        Raises:
            DeviceError: there is no such device.
            UsageError: one GPU is given to several processes.
        """
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.size > 1:
            if device.startswith("cuda:"):
                raise UsageError(f"--device {device} is one GPU for {self.size} processes; leave the number out")
            if device != "cpu" and torch.cuda.is_available():
                device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        self.device = bundle.choose_device(device)
        if self.size > 1 and not dist.is_initialized():
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    @property
    def leads(self) -> bool:
        """Say whether this process is the one that writes files and talks."""
        return self.rank == 0

    def share(self, rows: Value) -> Value:
        """Return this process's rows of an array, a tensor or a list."""
        return rows[self.rank :: self.size]  # type: ignore[index, no-any-return]

    def wrap(self, network: Network) -> nn.Module:
        """Return the network in the form that averages gradients over the team."""
        if self.size == 1:
            return network
        together: nn.Module = network
        if self.device.type == "cuda" and not network.frozen_norm:
            together = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(together, gradient_as_bucket_view=True)

    def gather(self, own_BX: Tensor, count: int) -> Tensor:
        """Return the rows of all processes, (count, X), in the order they had before they were dealt."""
        if self.size == 1:
            return own_BX
        most = -(-count // self.size)
        padded = own_BX.new_zeros((most, *own_BX.shape[1:]))
        padded[: len(own_BX)] = own_BX
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:count]

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over the team."""
        if self.size == 1:
            return values
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    def everyones(self, value: Any) -> list[Any]:
        """Return every process's value, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until all have come this far."""
        if self.size > 1:
            dist.barrier()
