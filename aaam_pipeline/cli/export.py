"""`aaam-pipe export`: labels and decisions in the formats of other programs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aaam_pipeline.cli import defaults, output
from aaam_pipeline.cli.render import PlainReporter, json_line, reporter
from aaam_pipeline.core.errors import MissingFilesError, UsageError
from aaam_pipeline.core.project import HERE
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.exchange.exporters.run import ExportSummary

SPLITS = ("val", "test")


def _formats() -> list[str]:
    from aaam_pipeline.exchange.exporters.run import FORMATS

    return list(FORMATS)


Kind = Annotated[
    str,
    typer.Argument(
        metavar="FORMAT",
        help="csv, jsonl, coco, yolo, yolo-classify, fiftyone, webdataset or imagefolder; see docs/export.md.",
        autocompletion=_formats,
    ),
]
Out = Annotated[Path, typer.Argument(help="File or folder to write, by format; written whole or not at all.")]
Annotations = Annotated[Path, typer.Option("--annotations", help="Folder that `aaam-pipe annotate` wrote.")]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels", help="Only these labels, between commas. May be repeated.", autocompletion=defaults.complete_labels
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(help="Labels are those with at least this probability, 0 to 1. Default: those that were assigned."),
]
Split = Annotated[
    list[str] | None,
    typer.Option(help="val=0.1: put such a share there, by content; test=0.1, too. The rest is train. Repeatable."),
]


def export(
    context: typer.Context,
    format: Kind,
    out: Out,
    annotations: Annotations = HERE.annotations,
    decisions: defaults.Decisions = None,
    taught: defaults.Taught = None,
    labels: Labels = None,
    threshold: Threshold = None,
    scores: Annotated[bool, typer.Option("--scores", help="Also the scores of all labels.")] = False,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the photographs, where a format holds them.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Link to them instead; the default.")] = False,
    split: Split = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Photographs in a tar of webdataset.")] = 10_000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what was exported to OUT before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be exported; write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object that sums up, on stdout.")] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Write labels, with the decisions of people in them, as CSV, JSON Lines, COCO, YOLO, FiftyOne, WebDataset, ..."""
    from msgspec import to_builtins

    from aaam_pipeline.exchange.exporters import run
    from aaam_pipeline.exchange.exporters.options import ExportOptions
    from aaam_pipeline.formats import taught as taught_words
    from aaam_pipeline.formats.decisions import read

    given = output.exclusive(context, ("copy", "link"))
    kind = run.find_format(format)
    if threshold is not None and not 0 <= threshold <= 1:
        raise UsageError(f"--threshold must be from 0 to 1, not {threshold:g}")
    if given["link"] and (kind.only_copies or not kind.holds_pictures):
        raise UsageError(f"--link: {kind.name} holds {'copies' if kind.only_copies else 'labels'} alone")
    options = ExportOptions(
        labels=labels or (),
        threshold=threshold,
        scores=scores,
        shares=_shares(split or []),
        copy=bool(given["copy"]) or kind.only_copies,
        shard_size=shard_size,
        overwrite=overwrite,
        dry_run=dry_run,
    )
    index = defaults.newest_index()
    ledger = read(defaults.decisions_to_read(context, decisions, index))
    words = taught_words.read(defaults.taught(taught, index))
    with reporter(quiet) as report:
        for line in ledger.remarks():
            report.info(line)
        summary = run.export(kind, out, annotations, ledger, options, report, words)
    if as_json:
        json_line(to_builtins(summary))
    _say(summary, quiet)


def _shares(texts: list[str]) -> dict[str, float]:
    """Return the shares of splits, in order of their names.

    Raises:
        UsageError: a text is no NAME=SHARE of a known name, or nothing is left for train.
    """
    shares: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            share = float(number)
        except ValueError:
            share = -1
        if name not in SPLITS or not 0 < share < 1:
            raise UsageError(f"--split {text}: write val=0.1 or test=0.1, a share between 0 and 1")
        shares[name] = share
    if sum(shares.values()) >= 1:
        raise UsageError("--split: nothing is left for train")
    return {name: shares[name] for name in SPLITS if name in shares}


def _said(summary: "ExportSummary") -> Iterator[str]:
    """Yield what is said on stderr."""
    would = "would have" if summary.dry_run else "has"
    yield (
        f"{summary.out} {would} {counted(summary.images, 'photograph')} and {counted(summary.labels, 'label')}, "
        f"{summary.decided} of them by decisions; {counted(summary.denied, 'label')} denied"
    )
    if summary.splits:
        yield ", ".join(f"{name}: {count}" for name, count in summary.splits.items())
    for why, count in summary.left_out.items():
        yield f"{counted(count, 'photograph')} {why} left out"
    if summary.failed:
        yield f"{counted(summary.failed, 'photograph')} that could not be annotated left out"


def _say(summary: "ExportSummary", quiet: bool) -> None:
    """Print what is to be known on stderr.

    Raises:
        MissingFilesError: photographs are left out, since they could not be had.
    """
    info = PlainReporter(quiet).info
    for line in _said(summary):
        info(line)
    if missing := sum(summary.missing.values()):
        why = ", ".join(f"{count} {reason}" for reason, count in summary.missing.items())
        named = ", ".join(summary.named) + (", ..." if missing > len(summary.named) else "")
        raise MissingFilesError(f"{counted(missing, 'photograph')} left out ({why}): {named}")
