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

    from aaam_pipeline.search import Explanation, Hit
    from aaam_pipeline.search.duplicates import Group

# labels of a query that are shown whatever their scores
SHOWN = 5


class PlainReporter(NullReporter):
    """For logs and pipes: keeps the lines, leaves out the bars."""

    def say(self, text: str) -> None:
        """Print a line on stderr."""
        print(text, file=sys.stderr, flush=True)


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


def hits(found: "Sequence[Hit]", *, as_json: bool, paths: bool) -> None:
    """Print hits, best first: JSON objects, bare paths, a table on a terminal, or tab-separated lines."""
    if as_json:
        for hit in found:
            print(json.dumps(hit._asdict(), ensure_ascii=False))
    elif paths:
        for hit in found:
            print(hit.location)
    elif sys.stdout.isatty():
        table(["score", "image", "labels"], [line(hit) for hit in found])
    else:
        for hit in found:
            print(*line(hit), sep="\t")


def line(hit: "Hit") -> list[str]:
    """Return what people see of a hit: score, place, labels."""
    return [f"{hit.score:.3f}", _near(hit), labels(hit)]


def explanations(found: "Sequence[Explanation]", *, as_json: bool) -> None:
    """Print hits with the terms of their scores: JSON objects, a table on a terminal, or a line a term."""
    if as_json:
        for each in found:
            terms = [term._asdict() for term in each.terms]
            print(json.dumps({**each.hit._asdict(), "terms": terms}, ensure_ascii=False))
        return
    rows = [
        [f"{hit.score:.3f}", _near(hit), term.query, f"{term.score:.3f}", _scores(term.label_scores)]
        for hit, terms in found
        for term in terms
    ]
    if sys.stdout.isatty():
        for row, above in reversed(list(zip(rows[1:], rows, strict=False))):
            row[:2] = ["", ""] if row[:2] == above[:2] else row[:2]
        table(["score", "image", "term", "contributed", "labels"], rows)
    else:
        for row in rows:
            print(*row, sep="\t")


def groups(found: "Sequence[Group]", *, as_json: bool) -> None:
    """Print groups of near-duplicates: JSON objects, a table on a terminal, or a line an image."""
    if as_json:
        for group in found:
            pairs = zip(group.hits, group.identical, strict=True)
            images = [
                {"path": hit.path, "root": hit.root, "score": hit.score, "identical": identical}
                for hit, identical in pairs
            ]
            print(json.dumps({"images": images}, ensure_ascii=False))
        return
    rows = [
        [
            str(number),
            f"{hit.score:.3f}",
            _near(hit),
            "" if place == 0 else "identical" if group.identical[place] else "alike",
        ]
        for number, group in enumerate(found, 1)
        for place, hit in enumerate(group.hits)
    ]
    if sys.stdout.isatty() and rows:
        table(["group", "score", "image", ""], rows)
    else:
        for row in rows:
            print(*row[: None if row[-1] else -1], sep="\t")


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


def labels(hit: "Hit") -> str:
    """Return the query's labels with their scores, then the others that were assigned."""
    others = [label for label in hit.labels if label not in hit.label_scores]
    return ", ".join([*filter(None, [_scores(hit.label_scores)]), *others])


def _scores(label_scores: dict[str, float]) -> str:
    """Return labels with their scores; of many, those that the image has nothing of are left out."""
    shown = {label: score for label, score in label_scores.items() if score >= 0.005 or len(label_scores) <= SHOWN}
    return ", ".join(f"{label} {score:.2f}" for label, score in shown.items())
