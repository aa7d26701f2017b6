"""`aaam-pipe health`: is a library sound? For people, and for jobs at night."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from aaam_pipeline.cli import defaults, output, render
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import UsageError

if TYPE_CHECKING:
    from aaam_pipeline.cli.library import IndexedLibrary
    from aaam_pipeline.curation.health import HealthCheck, HealthFinding
    from aaam_pipeline.curation.snapshots import LibrarySnapshot
    from aaam_pipeline.search.reader import IndexReader

ANY = "any"


def health(
    context: typer.Context,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(help="End with exit code 3 if this check passes its limit; any: each of them. Repeatable."),
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="NAME=NUMBER: another limit of a check, as drift=0.5. Repeatable.")
    ] = None,
    top: Annotated[int, typer.Option("--top", "-t", min=0, help="How many findings of each check to show.")] = 5,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do not remember this run for the next one to be compared with.")
    ] = False,
    as_json: output.Json = False,
    index: defaults.Index = None,
    decisions: defaults.Decisions = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Check a library: failures, words, scores beside decisions, keywords, what has changed since the last run."""
    import aaam_pipeline.search as engine
    from aaam_pipeline.cli.library import IndexedLibrary
    from aaam_pipeline.curation import library_counts, snapshots
    from aaam_pipeline.curation.health import LIMITS, HealthLimitError, check
    from aaam_pipeline.formats import decisions as ledgers

    limits = LIMITS | dict(_limit(text, LIMITS) for text in limit or ())
    wanted = set(LIMITS) if ANY in (fail_on or ()) else {_known(name, LIMITS) for name in fail_on or ()}
    folder = defaults.index(index, quiet)
    with engine.open(folder) as opened, render.reporter(quiet) as report:
        record = snapshots.read_record(snapshots.record_path(folder))
        decided = ledgers.read(defaults.decisions_to_read(context, decisions, folder))
        for remark in decided.remarks():
            report.info(remark)
        library = IndexedLibrary(opened)
        counts = library_counts.count(library, decided, _facts(opened), report)
        checks = check(counts, snapshots.earlier(record, counts.snapshot), limits)
        # before anything is printed: a reader that goes away (`| head`) must not keep it from being remembered
        if not dry_run:
            snapshots.remember(snapshots.record_path(folder), record, counts.snapshot)
        if as_json:
            _print_json(checks, counts.snapshot, library, top)
        else:
            _print(checks, library, top)
    if failed := [each.name for each in checks if each.name in wanted and not each.passed]:
        raise HealthLimitError(f"beyond the limit: {', '.join(failed)}")


def _limit(text: str, known: dict[str, float]) -> tuple[str, float]:
    name, equals, number = text.partition("=")
    try:
        value = float(number)
        if not equals or value != value or value < 0:
            raise ValueError
    except ValueError:
        raise UsageError(f"--limit {text}: write NAME=NUMBER, as drift=0.5") from None
    return _known(name, known), value


def _known(name: str, known: dict[str, float]) -> str:
    if name not in known:
        raise UsageError(f"no check {name!r}; there are {', '.join(known)}")
    return name


def _facts(reader: "IndexReader") -> "LibrarySnapshot":
    from aaam_pipeline.curation.snapshots import LibrarySnapshot

    manifest = reader.manifest
    return LibrarySnapshot(
        build=manifest.hash,
        model_id=manifest.model_id,
        labels=manifest.labels,
        images=manifest.images,
        failed=manifest.failed,
        judged=manifest.judged,
        unfamiliar=manifest.unfamiliar,
    )


def _print(checks: "list[HealthCheck]", library: "IndexedLibrary", top: int) -> None:
    lines = []
    for each in checks:
        state = "-" if each.value is None else "ok" if each.passed else "LIMIT"
        lines.append([each.name, state, _number(each.value), _number(each.limit), each.said])
    render.rows(["check", "", "value", "limit", ""], lines)
    cells = [
        [each.name, ", ".join(found.labels), f"{found.value:.3g}", found.said, *_place(found, library)]
        for each in checks
        for found in each.findings[:top]
    ]
    if cells:
        print()
        render.rows(["check", "label", "value", "", "photograph"], cells)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _place(found: "HealthFinding", library: "IndexedLibrary") -> list[str]:
    if found.row is None:
        return []
    (hit,) = library.hits([found.row])
    return [hit.location if hit.is_remote else path_text(render.near(hit.file))]


def _print_json(checks: "list[HealthCheck]", snapshot: "LibrarySnapshot", library: "IndexedLibrary", top: int) -> None:
    """Print a line for each check, then one for each label with the photographs that have it."""
    for each in checks:
        found = [_described(finding, library) for finding in each.findings[:top]]
        facts = {"value": each.value, "limit": each.limit, "passed": each.passed, "said": each.said}
        render.json_line({"check": each.name, **facts, "found": len(each.findings), "findings": found})
    for label, assigned in zip(snapshot.labels, snapshot.assigned, strict=True):
        render.json_line({"label": label, "photographs": assigned})


def _described(found: "HealthFinding", library: "IndexedLibrary") -> dict[str, Any]:
    facts: dict[str, Any] = {"labels": list(found.labels), "value": found.value, "said": found.said}
    if found.row is not None:
        (hit,) = library.hits([found.row])
        facts |= {"path": hit.path, "root": hit.root, "sha256": library.sha256(found.row)}
    return facts
