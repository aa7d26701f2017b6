"""What people see: progress on stderr, hits and tables on stdout. The only user of rich.

On a terminal there are bars, colours and tables; elsewhere plain lines, one a fact, and no bars.
"""

import getpass
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.logging import SHOWN, printable
from aaam_pipeline.core.progress import Advance, NullReporter, Reporter
from aaam_pipeline.core.project import Project
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from rich.progress import Progress

    from aaam_pipeline.formats.decisions import Verdict
    from aaam_pipeline.search import Explanation, Hit
    from aaam_pipeline.search.duplicates import DuplicateGroup

# labels of a query that are shown whatever their scores
ALWAYS_SHOWN = 5
log = logging.getLogger(__name__)


class PlainReporter(NullReporter):
    """For logs and pipes: keeps the lines, leaves out the bars; `quiet`: the lines are in the log alone."""

    def __init__(self, quiet: bool = False) -> None:
        """Print lines on stderr, unless `quiet`."""
        self._quiet = quiet

    def info(self, text: str) -> None:
        """Log a line, and print it on stderr."""
        log.info("%s", text, extra=None if self._quiet else SHOWN)
        if not self._quiet:
            print(printable(text), file=sys.stderr, flush=True)


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

    def info(self, text: str) -> None:
        """Print a line above the bars."""
        log.info("%s", text, extra=SHOWN)
        self._progress.console.print(printable(text), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def reporter(quiet: bool = False) -> Iterator[Reporter]:
    """Yield the reporter that fits stderr: bars on a terminal, lines elsewhere, nothing when `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield PlainReporter(quiet)
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


def hits(found: "Sequence[Hit]", *, as_json: bool, first: int = 1) -> None:
    """Print hits, best first, the best of them of rank `first`; those that are gone or unfamiliar are marked."""
    if as_json:
        for rank, hit in enumerate(found, first):
            json_line(described(hit, rank))
    else:
        rows(["score", "image", "labels", ""], [line(hit) for hit in found])


def described(hit: "Hit", rank: int) -> dict[str, Any]:
    """Return what JSON says of a hit."""
    from msgspec import to_builtins

    return {"rank": rank, **hit._asdict(), "decided": to_builtins(hit.decided), "exists": hit.exists}


def line(hit: "Hit") -> list[str]:
    """Return what people see of a hit: score, path, labels, and whether it is gone or unfamiliar."""
    return [f"{hit.score:.3f}", _near(hit), labels(hit), *marks(hit)]


def marks(hit: "Hit") -> list[str]:
    """Return what is to be known of a hit, as one text or none: whether its file is gone, whether it is unfamiliar."""
    said = ["gone"] * (hit.exists is False) + ["unfamiliar"] * bool(hit.unfamiliar)
    return [", ".join(said)] if said else []


def paths(found: "Sequence[Hit]", *, nul: bool) -> None:
    """Print where images are, the bytes of each name as they are on disk, ended by a line feed or a NUL character.

    Those whose files are gone are left out: whatever reads the paths would fail, or take another file for them.
    """
    sys.stdout.flush()
    there = [hit for hit in found if hit.exists is not False]
    if gone := len(found) - len(there):
        images = f"{gone} of {counted(len(found), 'image')} {'is' if gone == 1 else 'are'} gone"
        print(f"{images} and left out; --existing shows others", file=sys.stderr)
    for hit in there:
        path = hit.location if hit.is_remote else str(hit.file)
        sys.stdout.buffer.write(os.fsencode(path) + (b"\0" if nul else b"\n"))
    sys.stdout.buffer.flush()


def explanations(found: "Sequence[Explanation]", *, as_json: bool, first: int = 1) -> None:
    """Print hits with the terms of their scores, the best of them of rank `first`."""
    if as_json:
        for rank, each in enumerate(found, first):
            json_line({**described(each.hit, rank), "terms": [term._asdict() for term in each.terms]})
        return
    cells: list[list[str]] = []
    for hit, terms in found:
        # on a terminal, what is said of a hit is said once
        own = [f"{hit.score:.3f}", _near(hit)]
        for number, term in enumerate(terms):
            shown = ["", ""] if number and sys.stdout.isatty() else own
            why = {label: decided(hit.decided[label]) for label in term.label_scores if label in hit.decided}
            cells.append([*shown, term.query, f"{term.score:.3f}", _scores(term.label_scores, why), *marks(hit)])
    rows(["score", "image", "term", "contributed", "labels", ""], cells)


def groups(found: "Sequence[DuplicateGroup]", *, as_json: bool) -> None:
    """Print groups of copies."""
    if as_json:
        for group in found:
            images = [
                {"path": image.hit.path, "root": image.hit.root, "score": image.hit.score, "identical": identical}
                for image, identical in zip(group.images, group.identical(), strict=True)
            ]
            json_line({"images": images})
        return
    cells = [
        [str(number), f"{image.hit.score:.3f}", kind, _near(image.hit)]
        for number, group in enumerate(found, 1)
        for image, kind in zip(group.images, kinds(group), strict=True)
    ]
    rows(["group", "score", "", "image"], cells)


def kinds(group: "DuplicateGroup") -> list[str]:
    """Return how each image of a group is like the first: `first`, `identical` or `near`."""
    return ["first", *("identical" if same else "near" for same in group.identical()[1:])]


def json_line(content: dict[str, Any]) -> None:
    """Print an object as a line; characters that stdout cannot hold are escaped, and paths are text."""
    everything = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(content, ensure_ascii=not everything, default=str))


def rows(names: Sequence[str], cells: Sequence[Sequence[str]], *, headed: bool = False) -> None:
    """Print a table on a terminal, and elsewhere lines of what stands between tabs; last columns may be missing.

    `headed`: these lines begin with the names of the columns, too.
    """
    shown = [[printable(cell) for cell in row] for row in cells]
    if sys.stdout.isatty():
        if shown:
            table(names[: max(map(len, shown))], shown)
    else:
        for row in [names, *shown] if headed else shown:
            print(*row, sep="\t")


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, name in enumerate(names):
        first = next((row[column] for row in rows if len(row) > column), "")
        number = first.replace(".", "").isdigit()
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


def next_annotate(name: str, model: Path | str) -> str:
    """Return the line that says how to annotate with a new model, beside annotations of another one, which stay."""
    from aaam_pipeline.formats.parts import find_manifest

    out = Project(Path(name)).annotations
    # those of the model that had this name before
    again = " --on-existing overwrite" if find_manifest(out).is_file() else ""
    return f"next: aaam-pipe annotate FOLDER --model {shlex.quote(str(model))} --out {shlex.quote(str(out))}{again}"


def print_paths(files: Iterable[Path]) -> None:
    """Print where files are that were written, a line each."""
    for file in files:
        print(printable(str(near(file))))


def _near(hit: "Hit") -> str:
    return hit.location if hit.is_remote else path_text(near(hit.file))


def labels(hit: "Hit") -> str:
    """Return the query's labels with their scores, then the others that were assigned."""
    others = [label for label in hit.labels if label not in hit.label_scores]
    return ", ".join([*filter(None, [_scores(hit.label_scores)]), *others])


def decided(verdict: "Verdict") -> str:
    """Say who decided, and when."""
    source = f" ({verdict.source})" if verdict.source else ""
    by = {"person": verdict.source or "a person", "file": f"a file{source}", "model": f"a model{source}"}[verdict.by]
    by = "you" if verdict.by == "person" and verdict.source in ("", user()) else by
    return f"decided by {by}" + (f" on {verdict.at[:10]}" if verdict.at else "")


def user() -> str:
    """Return the name of who runs this program; "" where the system has none, as in some containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _scores(label_scores: dict[str, float], why: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return labels with their scores, and why; of many, those that the image has nothing of are left out."""
    shown = {
        label: score
        for label, score in label_scores.items()
        if score >= 0.005 or len(label_scores) <= ALWAYS_SHOWN or label in why
    }
    return ", ".join(
        f"{label} {score:.2f}" + (f" ({why[label]})" if label in why else "") for label, score in shown.items()
    )
