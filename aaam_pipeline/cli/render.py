"""What people see: progress on stderr, hits and tables on stdout. The only user of rich.

On a terminal there are bars, colours and tables; elsewhere plain lines, one a fact, and no bars.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aaam_pipeline.core.progress import Advance, NullReporter, Reporter

if TYPE_CHECKING:
    from rich.progress import Progress

    from aaam_pipeline.search import Hit


class PlainReporter(NullReporter):
    """For logs and pipes: keeps the lines, leaves out the bars."""

    def say(self, text: str) -> None:
        """Print a line on stderr."""
        print(text, file=sys.stderr, flush=True)


def reporter_of(quiet: bool) -> NullReporter:
    """Return what remarks without a bar are said to."""
    return NullReporter() if quiet else PlainReporter()


class TerminalReporter:
    """For people: a bar with rate and time left, and lines above it."""

    def __init__(self, progress: "Progress") -> None:
        """Use a rich progress display that is running."""
        self._progress = progress

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Show a bar while the block runs; it goes when the work is done."""
        id = self._progress.add_task(title, total=total, completed=done, rate="", failed="")
        started, finished, failures = time.monotonic(), 0, 0

        def advance(count: int, failed: int = 0) -> None:
            nonlocal finished, failures
            finished, failures = finished + count, failures + failed
            rate = finished / max(time.monotonic() - started, 1e-9)
            shown = f"{failures} failed" if failures else ""
            self._progress.update(id, advance=count, rate=f"{rate:.{0 if rate > 100 else 1}f}/s", failed=shown)

        try:
            yield advance
        finally:
            self._progress.remove_task(id)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def reporter(quiet: bool = False) -> Iterator[Reporter]:
    """Yield the reporter that fits stderr: bars on a terminal, lines elsewhere, nothing when `quiet`."""
    if quiet:
        yield NullReporter()
    elif not sys.stderr.isatty():
        yield PlainReporter()
    else:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("[red]{task.fields[failed]}"),
        ]
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            yield TerminalReporter(progress)


def hits(found: "Sequence[Hit]", *, as_json: bool, paths: bool, explain: bool = False) -> None:
    """Print hits, best first: JSON objects, bare paths, a table on a terminal, or tab-separated lines."""
    if as_json:
        for hit in found:
            shown = {name: value for name, value in hit._asdict().items() if name != "terms"}
            print(json.dumps(shown | ({"terms": dict(hit.terms)} if explain else {}), ensure_ascii=False))
    elif paths:
        for hit in found:
            print(hit.location)
    else:
        names = ["score", "image", "labels", *(["terms"] if explain else [])]
        rows = [[f"{hit.score:.3f}", _near(hit), _labels(hit), *([_terms(hit)] if explain else [])] for hit in found]
        if sys.stdout.isatty():
            table(names, rows)
        else:
            for row in rows:
                print(*row, sep="\t")


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(names):
        number = bool(rows) and rows[0][place].replace(".", "").isdigit()
        shown.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    Console().print(shown)


def near(file: Path) -> Path:
    """Return a path as a person would type it here: relative where it is below this folder."""
    try:
        return file.relative_to(Path.cwd())
    except ValueError:
        return file


def _near(hit: "Hit") -> str:
    return hit.location if "://" in hit.root else str(near(hit.file))


def _labels(hit: "Hit") -> str:
    """Return the query's labels with their scores, then the others that were assigned."""
    asked = [f"{label} {score:.2f}" for label, score in hit.label_scores.items()]
    return ", ".join([*asked, *(label for label in hit.labels if label not in hit.label_scores)])


def _terms(hit: "Hit") -> str:
    """Return how the score comes about: the product of what the terms give."""
    return " x ".join(f"{text} {value:.3f}" for text, value in hit.terms.items())
