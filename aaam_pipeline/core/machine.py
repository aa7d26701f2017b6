"""What this process takes of its machine: processor cores, and memory from the C library."""

import ctypes
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# control groups of Linux, and those of this process
CGROUPS, OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def available_cores() -> int:
    """Return how many cores this process may keep busy.

    Those that `taskset` or a container leaves to it; where a container has a quota of processor time, as many as that
    is worth, rounded up.
    """
    cores = _affinity()
    return max(1, math.ceil(min(cores, *_quotas())))


def has_quota() -> bool:
    """Return whether a quota leaves less than the cores that this process may run on: libraries do not know of it."""
    return available_cores() < _affinity()


def limit_openmp() -> None:
    """Let OpenMP (of torch, FAISS, scikit-learn) start no more threads than a quota leaves; before it is loaded."""
    if has_quota():
        os.environ.setdefault("OMP_NUM_THREADS", str(available_cores()))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Yield the quotas of this process's control groups, versions 1 and 2, as numbers of cores; at least infinity."""
    yield math.inf
    try:
        lines = OWN_CGROUPS.read_text(encoding="utf8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if not path or (controllers and "cpu" not in controllers.split(",")):
            continue
        top = CGROUPS / controllers
        # a container sees its own group at the top, whatever the path says
        for folder in [top, *_below(top, path)]:
            yield from _version_1(folder) if controllers else _version_2(folder)


def _below(top: Path, path: str) -> Iterator[Path]:
    for name in filter(None, path.split("/")):
        top = top / name
        yield top


def _version_2(folder: Path) -> Iterator[float]:
    try:
        allowed, period = (folder / "cpu.max").read_text(encoding="utf8").split()
        yield float(allowed) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        # there is none, or it says "max"
        return


def _version_1(folder: Path) -> Iterator[float]:
    try:
        files = [folder / f"cpu.cfs_{name}_us" for name in ("quota", "period")]
        allowed, period = (int(file.read_text(encoding="utf8")) for file in files)
        if allowed > 0:
            yield allowed / period
    except (OSError, ValueError, ZeroDivisionError):
        return


def keep_freed_memory() -> None:
    """Let glibc keep the memory that is freed, for the next who asks; another C library stays as it is.

    For a process that computes a network on a CPU. Its feature maps are so large that each is handed back to the kernel
    when it is freed, and in every step the kernel has to find and clear the same pages anew.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
