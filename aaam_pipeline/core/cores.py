"""How many processor cores this process may use."""

import os


def available_cores() -> int:
    """Return the number of cores, without those that `taskset` or a container keeps from this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
