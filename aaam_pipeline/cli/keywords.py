"""`aaam-pipe keywords`: labels as keywords beside photographs, where photo programs read them."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aaam_pipeline.cli import defaults, embedded_keywords
from aaam_pipeline.cli.keyword_changes import MOST_FAILED, MOST_SHOWN, ShownChanges
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.errors import FailureRateError, UsageError
from aaam_pipeline.core.project import HERE
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.exchange.keywords.writing import Summary

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
DONE = {"create": "made", "update": "changed", "remove": "removed"}
TO_DO = {"create": "to make", "update": "to change", "remove": "to remove"}

Mirror = Annotated[
    Path | None,
    typer.Option(help="Folder for sidecars of photographs whose own folder cannot be written to, by their full path."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, with examples; write nothing.")]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object a line for each sidecar that changes and each failure.")
]
MaxFailureRate = Annotated[
    float, typer.Option(min=0, max=1, help="Exit with code 3 if a larger share of photographs failed.")
]


Annotations = Annotated[
    list[Path] | None,
    typer.Argument(help="Folders that `aaam-pipe annotate` wrote.", show_default="annotations"),
]
Precision = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Write a label only from the score on with which this share of its keywords is expected to be right, "
        "by the model's calibration. Default: wherever it is assigned.",
    ),
]
Thresholds = Annotated[
    Path | None,
    typer.Option(
        help="File that `thresholds` wrote: a label is written from its score there on; others, and withheld ones, are "
        "not written."
    ),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        help="Only these labels, between commas; keywords of others stay as they are. Repeatable.",
        autocompletion=defaults.complete_labels,
    ),
]


@app.callback()
def group() -> None:
    """Write labels as keywords into sidecars of photographs or these themselves (XMP), and take them out again."""


@app.command()
def write(
    annotations: Annotations = None,
    precision: Precision = None,
    thresholds: Thresholds = None,
    labels: Labels = None,
    sidecar_style: Annotated[
        Literal["ext", "stem"],
        typer.Option(help="Name of a new sidecar: IMG.jpg.xmp (ext) or IMG.xmp (stem). One that exists is updated."),
    ] = "ext",
    mirror: Mirror = None,
    in_place: embedded_keywords.InPlaceOption = False,
    force_signed: embedded_keywords.ForceSigned = False,
    force_trailing: embedded_keywords.ForceTrailing = False,
    force_links: embedded_keywords.ForceLinks = False,
    keep_times: embedded_keywords.KeepTimes = False,
    decisions: defaults.Decisions = None,
    taught: defaults.Taught = None,
    max_failure_rate: MaxFailureRate = 0.1,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Write labels into sidecars, where nothing that a person wrote is lost, and nothing new writes nothing."""
    from aaam_pipeline.curation.ledger import Ledger, now
    from aaam_pipeline.exchange.keywords import writing
    from aaam_pipeline.exchange.keywords.places import Finder
    from aaam_pipeline.formats import taught as taught_words
    from aaam_pipeline.formats.decisions import read

    force = embedded_keywords.asked_for(signed=force_signed, trailing=force_trailing, links=force_links)
    if not in_place and (force or keep_times):
        raise UsageError(f"--{f'force-{force[0]}' if force else 'keep-times'} is of --in-place")
    index = defaults.newest_index()
    ledger = defaults.decisions(decisions, index)
    decided, words = read(ledger), taught_words.read(defaults.taught(taught, index))
    least = _least(thresholds, precision)
    options = writing.KeywordOptions(now(), precision, least, labels or (), words, dry_run)
    shown = ShownChanges(as_json, dry_run)
    with reporter(quiet) as report:
        for remark in decided.remarks():
            report.info(remark)
        with (
            embedded_keywords.packet_writer(ledger, force, shown, keep_times=keep_times)
            if in_place
            else nullcontext() as into
        ):
            summary = writing.write(
                annotations or [HERE.annotations],
                decided,
                Finder(sidecar_style, mirror, tidy=not dry_run),
                Ledger(ledger).append,
                options,
                report,
                shown.change,
                shown.failure,
                into,
            )
        shown.count_late(summary)
        _end(summary, shown, report, max_failure_rate, "files" if in_place else "sidecars")


def _least(thresholds: Path | None, precision: float | None) -> dict[str, float | None] | None:
    from aaam_pipeline.formats.threshold_files import read_thresholds

    if thresholds and precision is not None:
        raise UsageError("--precision and --thresholds exclude each other")
    return read_thresholds(defaults.thresholds(thresholds)) if thresholds else None


@app.command()
def undo(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of annotations: the sidecars of their photographs; folders of photographs (or a mirror): all "
            "in them; sidecars.",
            show_default="annotations",
        ),
    ] = None,
    mirror: Mirror = None,
    decisions: defaults.Decisions = None,
    max_failure_rate: MaxFailureRate = 0.1,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Take out what `keywords write` wrote, and nothing else; sidecars that it made are removed.

    Photographs that it wrote into have the bytes again that they had, where nobody has changed them since.
    """
    from aaam_pipeline.curation.ledger import Ledger, now
    from aaam_pipeline.exchange.keywords import undoing
    from aaam_pipeline.exchange.keywords.places import Finder

    ledger = defaults.nearest_decisions(decisions, None)
    shown = ShownChanges(as_json, dry_run)
    with reporter(quiet) as report:
        embedded_keywords.undo(paths or [HERE.annotations], ledger, shown, report)
        summary = undoing.undo(
            paths or [HERE.annotations],
            Finder(mirror=mirror, tidy=not dry_run),
            Ledger(ledger).append,
            now(),
            report,
            shown.change,
            shown.failure,
            dry_run=dry_run,
        )
        _end(summary, shown, report, max_failure_rate)


def _end(
    summary: "Summary", shown: ShownChanges, report: "Reporter", max_failure_rate: float, files: str = "sidecars"
) -> None:
    """Say what became of it all.

    Raises:
        FailureRateError: a larger share of photographs failed.
    """
    names = TO_DO if shown.dry_run else DONE
    if into := summary.sidecars.pop("embed", 0):
        report.info(f"photographs: {into:,} {names['update']}; `keywords undo` puts back every byte")
    acts = [f"{count:,} {names[action]}" for action, count in sorted(summary.sidecars.items())]
    if acts or summary.unchanged or not into:
        report.info(f"{files}: {', '.join([*acts, f'{summary.unchanged:,} unchanged'])}")
    words = summary.keywords
    if words.total():
        report.info(f"keywords: {words['added']:,} added, {words['removed']:,} taken out")
    if words["deleted"]:
        told = "are" if words["deleted"] != 1 else "is"
        gone = f"{counted(words['deleted'], 'keyword', ',')} of ours {told} gone by somebody's hand"
        report.info(f"{gone}: decided no (aaam-pipe decisions list)")
    if summary.withheld:
        some = ", ".join(summary.withheld[:MOST_SHOWN])
        more = f" and {len(summary.withheld) - MOST_SHOWN} more" if len(summary.withheld) > MOST_SHOWN else ""
        report.info(f"withheld, since no score is enough: {some}{more}")
    for label in sorted(summary.unwritable)[:MOST_SHOWN]:
        report.info(f"{label!r} has characters that XMP cannot hold, and is not written")
    for why, count in summary.left_out.most_common():
        report.info(f"left out: {counted(count, 'photograph', ',')}: {why}{_remedy(why)}")
    failed = summary.failures.total()
    if failed:
        for line in shown.failed:
            report.info(f"failed: {line}")
        reasons = ", ".join(f"{count:,} {why}" for why, count in summary.failures.most_common(MOST_FAILED))
        text = f"{failed:,} of {counted(summary.photographs, 'photograph', ',')} failed ({reasons})"
        if failed > max_failure_rate * summary.photographs:
            raise FailureRateError(f"{text}, more than --max-failure-rate {max_failure_rate:g}; all others are done")
        report.info(text)


def _remedy(why: str) -> str:
    if why.startswith("changed"):
        return "; annotate again"
    return "; chmod u+w, or sidecars: without --in-place" if why.endswith("read-only") else ""
