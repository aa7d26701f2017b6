"""Run benchmarks and print their tables as Markdown: `make bench`, or `python -m benchmarks search --write`.

A benchmark is a module with `run(report, full)`, which adds rows to tables as they are measured, and `MINUTES`: how
long it takes on two quiet cores, in the short form and with `--full`.
"""

import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks import (
    annotate,
    backends,
    clip,
    decisions,
    decode,
    duplicates,
    familiarity,
    health,
    keywords,
    memory,
    methods,
    own,
    prepare,
    promises,
    relabel,
    review,
    search,
    teach,
    training,
)
from benchmarks.table import Report

SUITES = {
    "annotate": annotate,
    "backends": backends,
    "clip": clip,
    "decisions": decisions,
    "decode": decode,
    "duplicates": duplicates,
    "familiarity": familiarity,
    "health": health,
    "keywords": keywords,
    "memory": memory,
    "methods": methods,
    "own": own,
    "prepare": prepare,
    "promises": promises,
    "review": review,
    "relabel": relabel,
    "search": search,
    "teach": teach,
    "training": training,
}
# what runs without names: less than 15 minutes in all
DEFAULT = ("annotate", "decode", "memory", "methods", "prepare", "search")
PAGES = Path(__file__).parents[1] / "reports"


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Benchmarks. Default: {', '.join(DEFAULT)}.")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Take the sizes of the pages in reports/; some take hours.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Replace the tables of reports/ by these.")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="List the benchmarks and how long they take.")] = False,
) -> None:
    """Measure speed and memory, always as ratios within one run."""
    if list_all:
        for name, suite in SUITES.items():
            first = (suite.__doc__ or "").split("\n")[0]
            print(f"{name:9} {_minutes(suite.MINUTES[0]):>8}, --full {_minutes(suite.MINUTES[1]):>8}  {first}")
        return
    chosen = list(names or DEFAULT)
    if unknown := [name for name in chosen if name not in SUITES]:
        raise typer.BadParameter(f"no benchmark {unknown[0]!r}; known: {', '.join(SUITES)}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    where = f"{platform.machine()}, {device}, torch {torch.__version__}"
    expected = {name: SUITES[name].MINUTES[full] for name in chosen}
    print(f"{where}\nabout {_minutes(sum(expected.values()))} on two quiet cores", flush=True)
    for name in chosen:
        print(f"\n## {name}: about {_minutes(expected[name])}", flush=True)
        report, started = Report(), time.monotonic()
        SUITES[name].run(report, full)
        print(f"\n{name} took {_minutes((time.monotonic() - started) / 60)}", flush=True)
        if write:
            command = f"python -m benchmarks {name}{' --full' if full else ''}"
            today = datetime.now(UTC).strftime("%Y-%m-%d")
            _write(name, f"{today}, commit {_commit()}, `{command}`; {where}.\n\n{report.markdown()}")


def _minutes(minutes: float) -> str:
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.1f} min"


def _commit() -> str:
    """Return the commit that is measured, with a remark if files differ from it."""
    command = ["git", "describe", "--always", "--exclude", "*", "--dirty= with changes"]
    done = subprocess.run(command, cwd=PAGES, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _write(name: str, text: str) -> None:
    """Replace what is between the markers of a benchmark on the page of `reports/` that has them."""
    begin, end = f"<!-- benchmark: {name} -->", f"<!-- end: {name} -->"
    for page in sorted(PAGES.glob("*.md")):
        before, found, rest = page.read_text(encoding="utf8").partition(begin)
        _, closed, after = rest.partition(end)
        if found and closed:
            page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf8")
            print(f"wrote {page.relative_to(PAGES.parent)}", flush=True)
            return
    raise typer.BadParameter(f"no page of {PAGES} has the markers {begin} and {end}")


if __name__ == "__main__":
    typer.run(main)
