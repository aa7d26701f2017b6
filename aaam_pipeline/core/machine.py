"""What this process takes of its machine: processor cores, and memory from the C library."""

import ctypes
import os
import sys

# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def available_cores() -> int:
    """Return the number of cores, without those that `taskset` or a container keeps from this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Let glibc keep the memory that is freed, for the next who asks; another C library stays as it is.

    For a process that computes a network on a CPU. Its feature maps are so large that each is handed back to the kernel
    when it is freed, and in every step the kernel has to find and clear the same pages anew.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
