"""`aaam-pipe relabel`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aaam_pipeline.cli import defaults, render
from aaam_pipeline.core.errors import UnknownLabelError, UsageError
from aaam_pipeline.core.project import HERE
from aaam_pipeline.core.text import counted
from aaam_pipeline.formats.assignment import WITHHELD, Assignment

if TYPE_CHECKING:
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.curation.label_changes import LabelChanges
    from aaam_pipeline.curation.relabel import OtherHead
    from aaam_pipeline.formats.parts import AnnotationsManifest

Annotations = Annotated[Path, typer.Argument(help="Folder of annotations.", show_default="annotations")]
Thresholds = Annotated[
    Path | None,
    typer.Option(
        help='File of thresholds: what `thresholds` wrote, JSON {"dog": 0.4} or CSV. Labels that it does not name keep '
        "theirs."
    ),
]
OtherModel = Annotated[
    Path | None,
    typer.Option(help="Take the head, calibration and thresholds of this bundle, which computes the same embedding."),
]


def relabel(
    annotations: Annotations = HERE.annotations,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Assign labels from this score on.")] = None,
    thresholds: Thresholds = None,
    top: Annotated[
        int | None, typer.Option("--top", "-t", min=1, help="At most K labels an image; alone: its K best ones.")
    ] = None,
    model: OtherModel = None,
    undo: Annotated[bool, typer.Option("--undo", help="Restore what was before the last relabel.")] = False,
    keep: Annotated[bool, typer.Option("--keep/--no-keep", help="Keep what --undo needs.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would change, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, nothing else on stdout.")] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Give annotations other labels, from the scores and embeddings that they hold; no photograph is opened.

    The folder is replaced in one step, and `--undo` brings back what was, byte for byte.
    """
    _check({"undo": undo or None, "threshold": threshold, "thresholds": thresholds, "top": top, "model": model})
    if undo:
        _undo(annotations, dry_run, as_json, quiet)
        return
    from aaam_pipeline.formats.parts import read_annotations_manifest

    manifest = read_annotations_manifest(annotations)
    head = other_head(defaults.model(model), manifest, annotations) if model else None
    rule = Assignment(top, threshold)
    if thresholds:
        rule = rule._replace(thresholds=_of_file(thresholds, manifest, head))
    with render.reporter(quiet) as report:
        changes = change_labels(annotations, rule, head, report, keep=keep, dry_run=dry_run)
        if changes.photographs and not dry_run:
            report.info(f"next: aaam-pipe index {annotations}")
    _print(annotations, changes, as_json, dry_run, withheld(manifest, head, rule))


def _check(given: dict[str, Any]) -> None:
    """Check that options say what decides, and do not exclude each other."""
    named = [f"--{name}" for name, value in given.items() if value is not None]
    if not named:
        raise UsageError("say what decides: --threshold, --thresholds FILE, --top or --model; or --undo")
    if len(named) > 1 and (named[0] == "--undo" or {"--threshold", "--thresholds"} <= set(named)):
        raise UsageError(f"{named[0]} and {named[1]} exclude each other")


def other_head(bundle: Path, manifest: "AnnotationsManifest", annotations: Path) -> "OtherHead":
    """Return the head of a bundle for annotations of the same embedding.

    Raises:
        UsageError: it computes another embedding, or its head cannot be told from the rest.
        IntegrityError: it is damaged.
    """
    from aaam_pipeline.curation.relabel import OtherHead
    from aaam_pipeline.formats.head import read_head
    from aaam_pipeline.formats.model_ids import embedding_of
    from aaam_pipeline.models.info import HEAD, checked_file, familiarity_of, read_info
    from aaam_pipeline.models.library import PRECISIONS

    info = read_info(bundle)
    wanted = embedding_of(manifest.model_id)
    ids = [info.of_precision(precision).model_id for precision in PRECISIONS]
    model_id = next((each for each in ids if embedding_of(each) == wanted), None)
    if model_id is None:
        raise UsageError(
            f"{bundle} computes another embedding ({embedding_of(ids[0])}) than {annotations} holds ({wanted}): "
            "annotate with it into another --out"
        )
    if HEAD not in info.files:
        raise UsageError(f"{bundle} is a bundle of version {info.version}, without a head of its own; annotate with it")
    head = read_head(checked_file(bundle, info, HEAD), info.calibration, info.thresholds)
    return OtherHead(bundle, model_id, info.vocabulary, head, info.words, familiarity_of(bundle, info))


def _of_file(path: Path, manifest: "AnnotationsManifest", head: "OtherHead | None") -> tuple[float, ...]:
    from aaam_pipeline.formats.threshold_files import own_thresholds, read_thresholds
    from aaam_pipeline.formats.vocabulary import Vocabulary

    found = read_thresholds(defaults.thresholds(path))
    before = Assignment.of(manifest.settings, manifest.thresholds)
    # the K best of all have no thresholds to be kept
    now = manifest.thresholds if before.threshold is None else before.limits(manifest.thresholds)
    try:
        if head:
            return own_thresholds(found, Vocabulary(head.vocabulary), head.head.thresholds)
        return own_thresholds(found, Vocabulary(manifest.vocabulary), now)
    except UnknownLabelError as error:
        raise UnknownLabelError(f"{path}: {error}") from None


def change_labels(
    folder: Path, rule: Assignment, head: "OtherHead | None", report: "Reporter", *, keep: bool = True, dry_run: bool
) -> "LabelChanges":
    """Relabel, and say what came of it."""
    from aaam_pipeline.curation import kept_labels
    from aaam_pipeline.curation.relabel import relabel as change

    changes = change(folder, rule, report, head, keep=keep, dry_run=dry_run)
    if not changes.photographs:
        report.info(f"{folder} is labelled so already: nothing to do")
        return changes
    would = "would get" if dry_run else "have"
    photographs = counted(changes.photographs, "photograph", ",")
    report.info(f"{folder}: {changes.changed:,} of {photographs} {would} other labels, by {rule.described()}")
    if dry_run:
        return changes
    if room := kept_labels.room(folder):
        where = kept_labels.undo_folder(folder)
        report.info(
            f"--undo restores what was: {where.name} beside it takes {room / 1e6:,.1f} MB until the next relabel"
        )
    return changes


def withheld(manifest: "AnnotationsManifest", head: "OtherHead | None", rule: Assignment) -> list[str]:
    """Return the words that no image gets by a rule."""
    vocabulary = head.vocabulary if head else manifest.vocabulary
    pairs = zip(vocabulary, rule.thresholds or (), strict=False)
    return [label for label, threshold in pairs if threshold == WITHHELD]


def _print(folder: Path, changes: "LabelChanges", as_json: bool, dry_run: bool, withheld: list[str]) -> None:
    counts = zip(changes.before_L, changes.after_L, changes.gained_L, changes.lost_L, strict=True)
    names = ("before", "after", "gained", "lost")
    found: list[dict[str, Any]] = [
        {"label": label} | dict(zip(names, map(int, each), strict=True))
        for label, each in zip(changes.labels, counts, strict=True)
        if each[2] or each[3]
    ]
    found.sort(key=lambda each: -each["gained"] - each["lost"])
    if as_json:
        facts = {"annotations": str(folder), "photographs": changes.photographs, "changed": changes.changed}
        render.json_line(facts | {"labels": found, "withheld": withheld, "dry_run": dry_run})
        return
    if found:
        render.rows(["label", *names], [[str(value) for value in each.values()] for each in found])


def _undo(folder: Path, dry_run: bool, as_json: bool, quiet: bool) -> None:
    from aaam_pipeline.curation.relabel import undo

    manifest = undo(folder, dry_run=dry_run)
    rule = Assignment.of(manifest.settings, manifest.thresholds)
    if as_json:
        render.json_line({"annotations": str(folder), "photographs": manifest.successes, "dry_run": dry_run})
    restored = "would be restored" if dry_run else "is restored"
    report = render.PlainReporter(quiet)
    report.info(f"{folder} {restored}: {counted(manifest.inputs, 'row', ',')}, labelled by {rule.described()}")
    if not dry_run:
        report.info(f"next: aaam-pipe index {folder}")
