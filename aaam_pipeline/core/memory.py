"""How a process gets its memory from the C library."""

import ctypes
import sys

# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let glibc keep the memory that is freed, for the next who asks; another C library stays as it is.

    For a process that computes a network on a CPU. Its feature maps are so large that each is handed back to the kernel
    when it is freed, and in every step the kernel has to find and clear the same pages anew.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
