"""The processes that train one network together, started by `torchrun`; a process alone is a world of size 1.

Shapes: B images of a batch, P processes.

Images are dealt out in turn: process r has those in rows r, r + P, r + 2P ... of a batch. Triplets and means are of the
whole batch of all processes, so the loss is that of one process with the same batch.
"""

import logging
import os
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.models import Network, bundle

log = logging.getLogger(__name__)

Value = TypeVar("Value")


class DistributedContext:
    """The `rank` of this process among `world_size`, its `device`, and how it exchanges tensors with the others."""

    def __init__(self, device: str = "auto") -> None:
        """Join the processes that `torchrun` started, if it did; each has a GPU of its own where there are any.

        Raises:
            DeviceError: there is no such device.
            UsageError: one GPU is given to several processes.
        """
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if self.world_size > 1:
            if device.startswith("cuda:"):
                raise UsageError(f"--device {device} is one GPU for {self.world_size} processes; leave the number out")
            if device != "cpu" and torch.cuda.is_available():
                device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        self.device = bundle.choose_device(device)
        log.info("process %d of %d, on %s", self.rank, self.world_size, self.device)
        if self.world_size > 1 and not dist.is_initialized():
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")

    @property
    def is_main_process(self) -> bool:
        """Say whether this process is the one that writes files and reports."""
        return self.rank == 0

    def shard(self, rows: Value) -> Value:
        """Return this process's rows of an array, a tensor or a list."""
        return rows[self.rank :: self.world_size]  # type: ignore[index, no-any-return]

    def wrap(self, network: Network) -> nn.Module:
        """Return the network in the form that averages gradients over the processes."""
        if self.world_size == 1:
            return network
        wrapped: nn.Module = network
        if self.device.type == "cuda" and not network.frozen_norm:
            wrapped = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(wrapped, gradient_as_bucket_view=True)

    def all_gather(self, shard_BX: Tensor, count: int) -> Tensor:
        """Return the rows of all processes, (count, X), in the order they had before they were dealt out."""
        if self.world_size == 1:
            return shard_BX
        most = -(-count // self.world_size)
        padded = shard_BX.new_zeros((most, *shard_BX.shape[1:]))
        padded[: len(shard_BX)] = shard_BX
        parts = [torch.empty_like(padded) for _ in range(self.world_size)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:count]

    def all_gather_object(self, value: Any) -> list[Any]:
        """Return every process's value, by rank."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        if self.world_size == 1:
            return values
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    def barrier(self) -> None:
        """Wait until all processes have come this far."""
        if self.world_size > 1:
            dist.barrier()
