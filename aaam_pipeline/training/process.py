"""What training sets for its whole process: that a CPU computes the same every time, and keeps the memory it has."""

import torch

from aaam_pipeline.core.memory import keep_freed_memory


def set_up(device: torch.device) -> None:
    """Set the process up to train on `device`."""
    on_cpu = device.type == "cpu"
    torch.use_deterministic_algorithms(on_cpu)
    # deterministic algorithms come with filling all new memory, to show who reads it unset: a sixth of the time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = device.type == "cuda"
    if on_cpu:
        keep_freed_memory()
