"""`aaam-pipe decide`: what a person says of photographs, written into the ledger."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from msgspec import to_builtins
from msgspec.structs import replace

from aaam_pipeline.cli import decided, defaults, render
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.text import counted
from aaam_pipeline.formats.decision_lines import Decision, label_key

if TYPE_CHECKING:
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.curation.ledger import Ledger
    from aaam_pipeline.formats.decision_tables import DecisionRow
    from aaam_pipeline.search.reader import IndexReader

STDIN = "-"
By = Annotated[
    Literal["person", "file", "model"],
    typer.Option(help="Who says it: a person outranks what a file says, and that a model."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a decision, nothing else on stdout.")]


def decide(
    photos: Annotated[
        list[str] | None, typer.Argument(help="Photographs; - reads their names from standard input, one a line.")
    ] = None,
    yes: Annotated[list[str] | None, typer.Option(help="A word that they show. May be repeated.")] = None,
    no: Annotated[list[str] | None, typer.Option(help="A word that they do not show. May be repeated.")] = None,
    clear: Annotated[
        list[str] | None, typer.Option(help="A word of which all that was said is taken back. May be repeated.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--from", help="Instead: a table image,label,value, CSV or JSON lines.")
    ] = None,
    nul: Annotated[
        bool, typer.Option("--null", "-0", help="Names on standard input end with NUL characters, as of `search -0`.")
    ] = False,
    by: By = "person",
    source: Annotated[str | None, typer.Option(help="Who or what it is. Default: your user name.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    decisions: defaults.Decisions = None,
    index: defaults.Index = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Say which words photographs show and which they do not; no model and no run ever changes that."""
    with opened(index, quiet) as reader, render.reporter(quiet) as report:
        ledger = defaults.nearest_decisions(decisions, index)
        who = render.user() if source is None else source
        names: dict[str, str] = {}
        if table:
            if photos or yes or no or clear:
                raise UsageError("--from names photographs and words itself; leave out PHOTO, --yes, --no and --clear")
            made = from_table(table, reader, report, by, who)
        else:
            words = decided.checked_words(yes or (), no or (), clear or ())
            if not photos:
                raise UsageError("name photographs, or - to read their names from standard input")
            found = decided.photographs(list(_names(photos, nul)), reader, report)
            names = {photo.sha256: photo.name for photo in found}
            made = [
                Decision(sha256=sha256, label=label, value=value, by=by, source=who)
                for sha256 in names
                for label, value in words.items()
            ]
        made = scored(made, reader, report)
        write(made, ledger, reader, report, names, dry_run=dry_run, as_json=as_json)


def opened(named: Path | None, quiet: bool) -> "AbstractContextManager[IndexReader | None]":
    """Open the index named, or the newest there is here; None where there is none, or none that can be used.

    Raises:
        AaamError: the one named cannot be used.
    """
    from aaam_pipeline.search.reader import IndexReader

    folder = named or defaults.newest_index()
    try:
        return nullcontext() if folder is None else IndexReader(folder)
    except AaamError as error:
        if named:
            raise
        render.PlainReporter(quiet).info(f"without the index, which is only of use here: {error}")
        return nullcontext()


def _names(photos: Sequence[str], nul: bool) -> Iterator[str]:
    """Yield names of photographs, those on standard input in place of `-`."""
    if photos.count(STDIN) > 1:
        raise UsageError("- is named twice; there is one standard input")
    if nul and STDIN not in photos:
        raise UsageError("-0 is for names on standard input: aaam-pipe decide -0 - ...")
    for name in photos:
        if name == STDIN:
            from aaam_pipeline.annotate.inputs import list_files

            yield from (line for line in list_files.names(STDIN, None) if line and not line.isspace())
        else:
            yield name


def scored(made: Sequence[Decision], index: "IndexReader | None", report: "Reporter") -> list[Decision]:
    """Return decisions, those of this moment with what the model of the index gives, unless they say it themselves."""
    if index is None:
        return list(made)
    found, missing = list[Decision](), set[str]()
    for block in decided.blocks(made):
        known = decided.in_index(index, {each.sha256 for each in block}, dict.fromkeys(each.label for each in block))
        for each in block:
            score = known.get(each.sha256, {}).get(each.label)
            if score is not None and each.model is None and not each.at:
                each = replace(each, model=index.manifest.model_id, score=round(score, 4))
            found.append(each)
        missing |= {each.sha256 for each in block} - set(known)
    if missing:
        photos = f"{counted(len(missing), 'photograph')} {'is' if len(missing) == 1 else 'are'}"
        report.info(f"{photos} not in the index, or changed since: what is decided of them shows once they are")
    return found


def from_table(
    path: Path, index: "IndexReader | None", report: "Reporter", by: Any, source: str, base: Path | None = None
) -> list[Decision]:
    """Return the decisions of a table; its photographs are named from its own folder, or from `base`.

    A row's own `by`, `source`, `at`, `model` and `score` hold.

    Raises:
        UsageError: it is no such table, or says two things of one photograph and word.
    """
    from aaam_pipeline.formats.decision_tables import read_rows

    rows = list(read_rows(path))
    folder = base or path.absolute().parent
    images = dict.fromkeys(row.image for row in rows if not row.sha256)
    hashes = _hashes(images, folder, index, report)
    said: dict[tuple[str, str, Any], DecisionRow] = {}
    made = []
    for row in rows:
        decided.check_word(row.label, f"{path}, line {row.line}")
        sha256, rank = row.sha256 or hashes[row.image], row.by or by
        before = said.setdefault((sha256, label_key(row.label), rank), row)
        if before.value != row.value:
            raise UsageError(
                f"{path}: {row.label!r} of {row.image or sha256} is {before.value} in line {before.line} and "
                f"{row.value} in line {row.line}; nothing was decided"
            )
        if before is row:
            made.append(
                Decision(
                    sha256=sha256,
                    label=row.label,
                    value=row.value,
                    by=rank,
                    source=row.source or source,
                    at=row.at,
                    model=row.model,
                    score=row.score,
                )
            )
    return made


def _hashes(images: Iterable[str], folder: Path, index: "IndexReader | None", report: "Reporter") -> dict[str, str]:
    """Return the hash of each image that a table names."""
    names = {image: decided.base_of(image, folder) for image in images}
    with report.task("read photographs", len(names)) as advance:
        found = {}
        for image, name in names.items():
            found[image] = decided.photograph(name, index).sha256
            advance(1)
    return found


def write(
    made: Sequence[Decision],
    path: Path,
    index: "IndexReader | None",
    report: "Reporter",
    names: Mapping[str, str],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write decisions into a ledger, and say so."""
    from aaam_pipeline.curation.ledger import Ledger, stamped

    made = list(stamped(made))
    labels = list(dict.fromkeys(each.label for each in made))
    for remark in decided.remarks_on_words(labels, index, path):
        report.info(remark)
    if not dry_run:
        Ledger(path).append(made)
    if as_json:
        for each in made:
            render.json_line({"image": names.get(each.sha256), **to_builtins(each)})
    photos = counted(len({each.sha256 for each in made}), "photograph", ",")
    count = counted(len(made), "decision", ",")
    if not made:
        report.info("nothing to decide, and nothing is written")
    elif dry_run:
        report.info(f"{count} on {photos} would be written to {path}; nothing was")
    else:
        them = "it" if len(made) == 1 else "them"
        report.info(f"{count} on {photos} written to {path}; aaam-pipe decisions undo takes {them} back")


def added(ledger: "Ledger", make: Callable[[], list[Decision]], dry_run: bool) -> list[Decision]:
    """Add decisions that are made of what the ledger holds; return them as they are added."""
    from aaam_pipeline.curation.ledger import stamped

    found = list[Decision]()

    def made() -> Iterator[Decision]:
        # read once nobody else writes
        found.extend(stamped(make()))
        yield from found

    if dry_run:
        return list(made())
    ledger.append(made())
    return found
