"""What training sets for its whole process: that a CPU computes the same every time, and keeps the memory it has."""

import ctypes

import torch

# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def set_up(device: torch.device) -> None:
    """Set the process up to train on `device`."""
    on_cpu = device.type == "cpu"
    torch.use_deterministic_algorithms(on_cpu)
    # deterministic algorithms come with filling all new memory, to show who reads it unset: a sixth of the time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = device.type == "cuda"
    if on_cpu:
        keep_freed_memory()


def keep_freed_memory() -> None:
    """Let glibc keep the memory that is freed, for the next who asks; another C library stays as it is.

    A network's feature maps are so large that each is handed back to the kernel when it is freed, and in every step the
    kernel has to find and clear the same pages anew.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
