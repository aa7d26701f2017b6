"""`aaam-pipe keywords`: labels as keywords beside photographs, where photo programs read them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aaam_pipeline.cli import defaults
from aaam_pipeline.cli.render import json_line, near, reporter
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import FailureRateError, UsageError
from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.project import HERE, Project
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.exchange.embedding import PacketWriter
    from aaam_pipeline.exchange.keywords.sidecars import Change
    from aaam_pipeline.exchange.keywords.writing import Summary

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
# changes and failures that are shown one by one; of more the number is said
MOST_SHOWN = 10
MOST_FAILED = 3
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
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        help="Only these labels, between commas; keywords of others stay as they are. Repeatable.",
        autocompletion=defaults.complete_labels,
    ),
]
Force = Literal["signed", "trailing", "links"]
ForceSigned = Annotated[
    bool, typer.Option("--force-signed", help="With --in-place: also files that are signed (C2PA), which it breaks.")
]
ForceTrailing = Annotated[
    bool,
    typer.Option(
        "--force-trailing",
        help="With --in-place: also files that hold data after the image (motion photos), or several pictures (MPF).",
    ),
]
ForceLinks = Annotated[
    bool,
    typer.Option("--force-links", help="With --in-place: also files of several names (hard links), which it parts."),
]


@app.callback()
def group() -> None:
    """Write labels as keywords into sidecars of photographs or these themselves (XMP), and take them out again."""


@app.command()
def write(
    annotations: Annotations = None,
    precision: Precision = None,
    labels: Labels = None,
    sidecar_style: Annotated[
        Literal["ext", "stem"],
        typer.Option(help="Name of a new sidecar: IMG.jpg.xmp (ext) or IMG.xmp (stem). One that exists is updated."),
    ] = "ext",
    mirror: Mirror = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Write into JPEG, PNG, WebP and TIFF files themselves, never raw files.")
    ] = False,
    force_signed: ForceSigned = False,
    force_trailing: ForceTrailing = False,
    force_links: ForceLinks = False,
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="With --in-place: files keep the time of their last change.")
    ] = False,
    decisions: defaults.Decisions = None,
    max_failure_rate: MaxFailureRate = 0.1,
    dry_run: DryRun = False,
    as_json: Json = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Write labels into sidecars, where nothing that a person wrote is lost, and nothing new writes nothing."""
    from aaam_pipeline.curation.ledger import Ledger, now
    from aaam_pipeline.exchange.keywords import writing
    from aaam_pipeline.exchange.keywords.places import Finder
    from aaam_pipeline.formats.decisions import read

    asked: dict[Force, bool] = {"signed": force_signed, "trailing": force_trailing, "links": force_links}
    force = [kind for kind, is_asked in asked.items() if is_asked]
    if not in_place and (force or keep_times):
        raise UsageError(f"--{f'force-{force[0]}' if force else 'keep-times'} is of --in-place")
    ledger = defaults.decisions(decisions, defaults.newest_index())
    decided = read(ledger)
    options = writing.KeywordOptions(now(), precision, None, labels or (), dry_run)
    shown = _Shown(as_json, dry_run)
    with reporter(quiet) as report:
        for remark in decided.remarks():
            report.info(remark)
        with _into(ledger, force, shown, keep_times=keep_times) if in_place else nullcontext() as into:
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
        _end(summary, shown, report, max_failure_rate)


@contextmanager
def _into(ledger: Path, force: Sequence[Force], shown: "_Shown", *, keep_times: bool) -> "Iterator[PacketWriter]":
    """Yield what writes into photographs themselves."""
    from aaam_pipeline.curation.ledger import Ledger
    from aaam_pipeline.exchange.embedding import PacketWriter

    append, folder = Ledger(ledger).append, embedded_in(ledger)
    writer = PacketWriter(folder, append, force=force, keep_times=keep_times, refused=shown.late)
    # a dry run makes no folder, and no lock
    with nullcontext() if shown.dry_run else writer:
        yield writer


def embedded_in(ledger: Path) -> Path:
    """Return the folder of the journal of photographs that keywords were written into: in the project's folder."""
    return Project(ledger.absolute().parent).work("keywords")


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

    ledger = defaults.decisions(decisions, defaults.newest_index())
    shown = _Shown(as_json, dry_run)
    with reporter(quiet) as report:
        _undo_embedded(paths or [HERE.annotations], ledger, shown, report)
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


def _undo_embedded(paths: "Sequence[Path]", ledger: Path, shown: "_Shown", report: "Reporter") -> None:
    """Put back the bytes of the photographs that keywords were written into, below folders or of annotations."""
    from aaam_pipeline.curation.ledger import Ledger
    from aaam_pipeline.exchange import embedding
    from aaam_pipeline.exchange.keywords.in_place import take_out
    from aaam_pipeline.exchange.keywords.undoing import roots_of

    folder, roots = embedded_in(ledger), roots_of(paths)

    def is_meant(file: Path) -> bool:
        return any(file.is_relative_to(root) for root in roots)

    if shown.dry_run:
        if meant := embedding.count(folder, is_meant):
            report.info(f"photographs: {counted(meant, 'change', ',')} to take back")
        return
    back, stay = embedding.undo(
        folder,
        lambda file: take_out(file, Ledger(ledger).append),
        lambda file, why: shown.failure(path_text(file), why),
        is_meant,
    )
    if back or stay:
        staying = f", {stay:,} stay (they were changed since, or are gone)" if stay else ""
        report.info(f"photographs: {counted(back, 'change', ',')} taken back{staying}")


class _Shown:
    """Shows changes: all of them as JSON, examples of what would be, none of what is done."""

    def __init__(self, as_json: bool, dry_run: bool) -> None:
        self.as_json, self.dry_run = as_json, dry_run
        self.examples = 0
        self.failed: list[str] = []
        self.too_late: list[tuple[Path, str]] = []

    def late(self, path: Path, why: str) -> None:
        """Take back that a photograph was changed: another program was quicker."""
        self.too_late.append((path, why))

    def count_late(self, summary: "Summary") -> None:
        for path, why in self.too_late:
            summary.sidecars["embed"] -= 1
            summary.failures[why] += 1
            self.failure(path_text(path), why)

    def change(self, path: str, change: "Change") -> None:
        if self.as_json:
            words = {name: getattr(change, name) for name in ("added", "removed", "deleted", "adopted")}
            json_line({"path": path, "sidecar": path_text(change.sidecar), "action": change.action, **words})
        elif self.dry_run and self.examples < MOST_SHOWN:
            self.examples += 1
            print(printable(f"{path_text(near(change.sidecar))}  {change.action}  {' '.join(_signed(change))}"))

    def failure(self, path: str, why: str) -> None:
        if self.as_json:
            json_line({"path": path, "action": "failed", "error": why})
        if len(self.failed) < MOST_FAILED:
            self.failed.append(f"{path}: {why}")


def _signed(change: "Change") -> Iterator[str]:
    for sign, words in (("+", change.added), ("-", change.removed), ("deleted by somebody: ", change.deleted)):
        yield from (f"{sign}{word}" if " " not in word else f'{sign}"{word}"' for word in words)


def _end(summary: "Summary", shown: _Shown, report: "Reporter", max_failure_rate: float) -> None:
    """Say what became of it all.

    Raises:
        FailureRateError: a larger share of photographs failed.
    """
    names = TO_DO if shown.dry_run else DONE
    if into := summary.sidecars.pop("embed", 0):
        report.info(f"photographs: {into:,} {names['update']}; `keywords undo` puts back every byte")
    acts = [f"{count:,} {names[action]}" for action, count in sorted(summary.sidecars.items())]
    report.info(f"sidecars: {', '.join([*acts, f'{summary.unchanged:,} unchanged'])}")
    words = summary.keywords
    if words.total():
        report.info(f"keywords: {words['added']:,} added, {words['removed']:,} taken out")
    if words["deleted"]:
        told = "are" if words["deleted"] != 1 else "is"
        report.info(f"{counted(words['deleted'], 'keyword', ',')} of ours {told} gone by somebody's hand: decided no")
    if summary.withheld:
        some = ", ".join(summary.withheld[:MOST_SHOWN])
        more = f" and {len(summary.withheld) - MOST_SHOWN} more" if len(summary.withheld) > MOST_SHOWN else ""
        report.info(f"withheld, since no score is enough for --precision: {some}{more}")
    for label in sorted(summary.unwritable)[:MOST_SHOWN]:
        report.info(f"{label!r} has characters that XMP cannot hold, and is not written")
    for why, count in summary.left_out.most_common():
        report.info(f"left out: {counted(count, 'photograph', ',')} {why}{_remedy(why)}")
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
    return "; annotate again" if why.startswith("changed") else ""
