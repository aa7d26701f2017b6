"""What this process may take of its machine: processor cores and memory, and how the C library keeps the latter."""

import ctypes
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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
    return max(1, math.ceil(min(cores, math.inf, *(_quota(group) for group in _groups("cpu")))))


def available_memory() -> int:
    """Return how many bytes of memory this process may take: those of the machine, or of its container."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(machine, math.inf, *(_memory_limit(group) for group in _groups("memory"))))


def has_quota() -> bool:
    """Return whether a quota leaves less than the cores that this process may run on: libraries do not know of it."""
    return available_cores() < _affinity()


def limit_openmp() -> None:
    """Let OpenMP (of torch, FAISS, scikit-learn) start no more threads than a quota leaves; before it is loaded."""
    if has_quota():
        os.environ.setdefault("OMP_NUM_THREADS", str(available_cores()))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ControlGroup(NamedTuple):
    """A folder of a control group of this process, and its version, 1 or 2."""

    folder: Path
    version: int


def _groups(controller: str) -> Iterator[ControlGroup]:
    """Yield this process's control groups that limit what `controller` names (cpu, memory)."""
    try:
        lines = OWN_CGROUPS.read_text(encoding="utf8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if not path or (controllers and controller not in controllers.split(",")):
            continue
        top = CGROUPS / controllers
        # a container sees its own group at the top, whatever the path says
        for folder in [top, *_below(top, path)]:
            yield ControlGroup(folder, 1 if controllers else 2)


def _below(top: Path, path: str) -> Iterator[Path]:
    for name in filter(None, path.split("/")):
        top = top / name
        yield top


def _quota(group: ControlGroup) -> float:
    """Return a quota of processor time as a number of cores, infinity where there is none."""
    try:
        if group.version == 1:
            allowed, period = (_text(group, f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        else:
            allowed, period = _text(group, "cpu.max").split()
        cores = float(allowed) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        # there is none, or it says "max"
        return math.inf
    return cores if cores > 0 else math.inf


def _memory_limit(group: ControlGroup) -> float:
    """Return a limit of memory in bytes, infinity where there is none; version 1 says a huge number then."""
    try:
        limit = int(_text(group, "memory.limit_in_bytes" if group.version == 1 else "memory.max"))
    except (OSError, ValueError):
        return math.inf
    return limit if limit > 0 else math.inf


def _text(group: ControlGroup, name: str) -> str:
    return (group.folder / name).read_text(encoding="utf8")


def keep_freed_memory() -> None:
    """Let glibc keep the memory that is freed, for the next who asks; another C library stays as it is.

    For a process that computes a network on a CPU. Its feature maps are so large that each is handed back to the kernel
    when it is freed, and in every step the kernel has to find and clear the same pages anew.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)
