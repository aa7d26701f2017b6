"""What benchmarks share: timing, and Markdown tables that are printed row by row."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence


class Report:
    """The tables of a benchmark: each row is printed when it is measured, and kept for a page."""

    def __init__(self) -> None:
        self._blocks: list[list[str]] = []
        self._last: list[str] | None = None

    def table(self, title: str, names: Sequence[str]) -> Callable[[Sequence[str]], None]:
        """Begin a table with these column names; return the function that adds a row to it."""
        block = [f"### {title}", "", _line(names), _line(["---"] * len(names))]
        self._blocks.append(block)

        def add(row: Sequence[str]) -> None:
            # rows of several tables take turns where one measurement gives a row of each
            lines = [_line(row)] if self._last is block else ["", *block[:4], _line(row)]
            print("\n".join(lines), flush=True)
            self._last = block
            block.append(_line(row))

        return add

    def note(self, text: str) -> None:
        """Print a paragraph below the tables, and keep it."""
        print(f"\n{text}", flush=True)
        self._last = None
        self._blocks.append([text])

    def info(self, text: str) -> None:
        """Say on stderr what has been measured before a row is complete; it is not kept."""
        print(text, file=sys.stderr, flush=True)

    def markdown(self) -> str:
        """Return all tables, each in one piece."""
        return "\n\n".join("\n".join(block) for block in self._blocks)


def best(function: Callable[[], object], repeats: int) -> float:
    """Return the shortest of several runs, in seconds: the one least disturbed by the machine."""
    return min(_seconds(function) for _ in range(repeats))


def median(function: Callable[[], object], repeats: int) -> float:
    """Return the median (p50) of several runs, in seconds."""
    return statistics.median(_seconds(function) for _ in range(repeats))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
