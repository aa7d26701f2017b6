"""What benchmarks share: timing and Markdown tables."""

import statistics
import time
from collections.abc import Callable, Sequence


def best(function: Callable[[], object], repeats: int) -> float:
    """Return the shortest of several runs, in seconds: the one least disturbed by the machine."""
    return min(_seconds(function) for _ in range(repeats))


def median(function: Callable[[], object], repeats: int) -> float:
    """Return the median (p50) of several runs, in seconds."""
    return statistics.median(_seconds(function) for _ in range(repeats))


def show(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print(f"## {title}\n")
    for row in (names, ["---"] * len(names), *rows):
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
