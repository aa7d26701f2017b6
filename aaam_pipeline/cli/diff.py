"""`aaam-pipe diff`: two annotations of the same photographs, and which labels of the second are published."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aaam_pipeline.cli import defaults, output, render
from aaam_pipeline.core.errors import UnknownLabelError, UsageError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.curation.diff import AnnotationsDiff, LabelDiff, SampledPhotograph
    from aaam_pipeline.curation.precision import ExpectedPrecision
    from aaam_pipeline.formats.parts import AnnotationsManifest


def diff(
    context: typer.Context,
    before: Annotated[Path, typer.Argument(help="Folder of annotations: what is published.")],
    after: Annotated[Path | None, typer.Argument(help="Other annotations of the same photographs.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="Show only this label. Repeatable.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show labels that nothing changes for, too.")] = False,
    samples: Annotated[int, typer.Option(min=0, help="Show so many photographs of each label, drawn at random.")] = 0,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="Publish this label as it is in AFTER, and hold those that are not named. Repeatable."),
    ] = None,
    hold: Annotated[
        list[str] | None,
        typer.Option(help="Hold this label as it is in BEFORE; without --accept, publish all others. Repeatable."),
    ] = None,
    accept_all: Annotated[bool, typer.Option("--accept-all", help="Publish all labels as they are in AFTER.")] = False,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Publish even if photographs of BEFORE are not in AFTER.")
    ] = False,
    revert: Annotated[bool, typer.Option("--revert", help="Restore what BEFORE was, byte for byte.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    as_json: output.Json = False,
    decisions: defaults.Decisions = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Compare annotations label by label, and publish the labels that are accepted: in BEFORE, in one step."""
    chosen = {"--accept": accept, "--hold": hold, "--accept-all": accept_all}
    named = [name for name, value in chosen.items() if value]
    if revert:
        if after or named:
            raise UsageError(f"--revert and {named[0] if named else 'AFTER'} exclude each other")
        _revert(before, dry_run, as_json, quiet)
        return
    if after is None:
        raise UsageError("name two folders of annotations: aaam-pipe diff BEFORE AFTER")
    if accept_all and len(named) > 1:
        raise UsageError(f"--accept-all and {named[0]} exclude each other")
    from aaam_pipeline.curation.diff import compare
    from aaam_pipeline.formats import decisions as ledgers

    with render.reporter(quiet) as report:
        decided = ledgers.read(defaults.decisions_to_read(context, decisions, before))
        for remark in decided.remarks():
            report.info(remark)
        found = compare(before, after, decided, report, samples=samples)
        only = {_known(word, found) for word in label or ()}
        accepted = _accepted(found, accept, hold) if named else set()
        # before anything is printed: a reader that goes away (`| head`) must not keep labels from being published
        now = _publish(before, after, found, accepted, report, drop_missing, dry_run) if named else None
        shown = [each for each in found.labels if (each.label in only if only else everything or each.differs)]
        if as_json:
            for each in shown:
                render.json_line(_described(each))
        else:
            _print(shown)
        _say(found, before, after, report)
        if now:
            _say_published(before, now, accepted, report, dry_run, as_json)


def _known(word: str, found: "AnnotationsDiff") -> str:
    from aaam_pipeline.formats.vocabulary import Vocabulary, suggestions

    labels = Vocabulary([each.label for each in found.labels])
    number = labels.find(word)
    if number is None:
        meant = " or ".join(suggestions(word, labels))
        ask = f"; did you mean {meant}?" if meant else "; --all lists those of both"
        raise UnknownLabelError(f"{word!r} is a label of neither{ask}")
    return labels.labels[number]


def _accepted(found: "AnnotationsDiff", accept: list[str] | None, hold: list[str] | None) -> set[str]:
    """Return the labels that are published as they are after."""
    taken, held = ({_known(word, found) for word in words or ()} for words in (accept, hold))
    if both := sorted(taken & held):
        raise UsageError(f"{both[0]!r} cannot be accepted and held")
    return taken or {each.label for each in found.labels} - held


def _publish(
    before: Path,
    after: Path,
    found: "AnnotationsDiff",
    accepted: set[str],
    report: Reporter,
    drop_missing: bool,
    dry_run: bool,
) -> "AnnotationsManifest":
    from aaam_pipeline.curation.accept import accept, lacking

    if found.only_before and not drop_missing:
        raise UsageError(lacking(found.only_before, before, after))
    return accept(before, after, accepted, report, drop_missing=drop_missing, dry_run=dry_run)


def _say_published(
    before: Path, now: "AnnotationsManifest", accepted: set[str], report: Reporter, dry_run: bool, as_json: bool
) -> None:
    held = [label for label in now.vocabulary if label not in accepted]
    said = f"{counted(len(now.vocabulary) - len(held), 'label')} accepted, {len(held)} held"
    if as_json:
        render.json_line({"accepted": sorted(accepted), "held": held, "model_id": now.model_id, "dry_run": dry_run})
    if dry_run:
        report.info(f"{before}: {said}; nothing is written (--dry-run)")
    else:
        report.info(f"{before}: {said}; next: aaam-pipe index {before} (back: aaam-pipe diff {before} --revert)")


def _revert(before: Path, dry_run: bool, as_json: bool, quiet: bool) -> None:
    from aaam_pipeline.curation.accept import revert

    restored = revert(before, dry_run=dry_run)
    if as_json:
        render.json_line({"restored": restored.model_id, "labels": len(restored.vocabulary), "dry_run": dry_run})
    does = "would hold" if dry_run else "holds"
    next_step = "" if dry_run else f"; next: aaam-pipe index {before}"
    render.PlainReporter(quiet).info(f"{before} {does} what it did before, of {restored.model_id}{next_step}")


def _say(found: "AnnotationsDiff", before: Path, after: Path, report: Reporter) -> None:
    changed = sum(bool(each.gained or each.lost) for each in found.labels)
    report.info(f"{counted(found.photographs, 'photograph')} in both; {counted(changed, 'label')} changed")
    for count, place in ((found.only_before, before), (found.only_after, after)):
        if count:
            report.info(f"{counted(count, 'photograph')} only in {place}")


def _print(shown: "Sequence[LabelDiff]") -> None:
    names = ["label", "before", "after", "gained", "right", "lost", "right", "disputed", ""]
    lines = []
    for each in shown:
        state = {"both": "", "after": "new", "before": "gone"}[each.known]
        numbers = [str(each.before), str(each.after), _signed("+", each.gained), _right(each.gained_precision)]
        numbers += [_signed("-", each.lost), _right(each.lost_precision), str(each.disputed), state]
        lines.append([each.label, *numbers])
        for sign, sample in (("+", each.gained_sample), ("-", each.lost_sample)):
            lines += [["", "", "", "", f"{sign} {one.score:.2f}", _place(one)] for one in sample]
    render.rows(names, lines)


def _signed(sign: str, count: int) -> str:
    return f"{sign}{count}" if count else ""


def _place(one: "SampledPhotograph") -> str:
    return f"{one.root.rstrip('/')}/{one.path}"


def _right(precision: "ExpectedPrecision | None") -> str:
    """Return an expected precision with its interval; without decisions it is marked as one by the scores alone."""
    if precision is None:
        return ""
    mark = "" if precision.by == "decisions" else " ?"
    return f"{precision.share:.2f} ({precision.low:.2f} to {precision.high:.2f}){mark}"


def _described(each: "LabelDiff") -> dict[str, Any]:
    found = each._asdict()
    for name in ("gained_precision", "lost_precision"):
        found[name] = found[name] and found[name]._asdict()
    for name in ("gained_sample", "lost_sample"):
        found[name] = [one._asdict() for one in found[name]]
    return found
