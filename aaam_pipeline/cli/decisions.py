"""`aaam-pipe decisions`: what is in the ledger, and how it is taken back, moved, merged and checked."""

import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec import to_builtins

from aaam_pipeline.cli import decide, decision_rows, defaults, render
from aaam_pipeline.cli.decide import By, DryRun
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.project import DECISIONS
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.formats.decisions import Decisions

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, nothing else on stdout.")]
Label = Annotated[str | None, typer.Option(help="Only of this word; case does not count.")]
Photo = Annotated[str | None, typer.Option(help="Only of this photograph: a path, a URL or a SHA-256.")]
Source = Annotated[str | None, typer.Option(help="Only what this person or program said.")]


@app.callback()
def group() -> None:
    """List, take back, import, export, merge and check decisions."""


@app.command("list")
def list_decisions(
    label: Label = None,
    photo: Photo = None,
    value: Annotated[Literal["yes", "no", "clear"] | None, typer.Option(help="Only these.")] = None,
    by: Annotated[Literal["person", "file", "model"] | None, typer.Option(help="Only what these said.")] = None,
    source: Source = None,
    since: Annotated[str | None, typer.Option(help="Only from this day or time on, in UTC: 2026-11-29.")] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every line in its order, also what holds no longer.")
    ] = False,
    batches: Annotated[
        bool, typer.Option("--commands", help="The commands that decided, newest first, with the ids that undo takes.")
    ] = False,
    as_json: Json = False,
    decisions: defaults.Decisions = None,
    index: defaults.Index = None,
    quiet: defaults.Quiet = False,
) -> None:
    """List what is decided, the oldest first: when, what, of which photograph, and who said it."""
    path = defaults.nearest_decisions(decisions, index)
    with decide.opened(index, quiet) as reader:
        chosen = decision_rows.Filter.of(label, photo, value, by, source, since, reader)
        if batches:
            _commands(path, as_json)
            return
        if history:
            rows = decision_rows.history(path, chosen)
        else:
            read = _read(path, quiet)
            rows = decision_rows.in_force(read, chosen)
        for block in decision_rows.located(rows, reader):
            if as_json:
                for row in block:
                    render.json_line(row)
            else:
                render.rows(["when", "", "word", "photograph", "by"], [decision_rows.line(row) for row in block])


def _commands(path: Path, as_json: bool) -> None:
    from aaam_pipeline.curation.undo import batches

    found = batches(path)[::-1]
    if as_json:
        for batch in found:
            render.json_line(batch._asdict())
    else:
        cells = [
            [each.id, each.at, counted(each.decisions, "decision"), each.source, "taken back" * each.undone]
            for each in found
        ]
        render.rows(["id", "when", "", "by", ""], cells)


@app.command("undo")
def undo(
    count: Annotated[int, typer.Argument(min=1, metavar="[N]", help="How many commands, the last first.")] = 1,
    batch: Annotated[
        str | None, typer.Option("--command", help="One command: an id of `decisions list --commands`.")
    ] = None,
    label: Label = None,
    photo: Photo = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    decisions: defaults.Decisions = None,
    index: defaults.Index = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Take back what the last command decided, or N, or what is decided of a word or a photograph.

    Nothing is deleted: lines are added, and what was decided before is back.
    """
    from aaam_pipeline.curation.ledger import Ledger
    from aaam_pipeline.curation.undo import UNDO, batches, take_back
    from aaam_pipeline.formats.decision_lines import Decision

    path = defaults.nearest_decisions(decisions, index)
    info = render.PlainReporter(quiet).info
    if (batch is not None) + (label is not None or photo is not None) + (count > 1) > 1:
        raise UsageError("name a number, --command, or --label and --photo")
    ledger, made = Ledger(path), list[Decision]()
    if label is not None or photo is not None:
        with decide.opened(index, quiet) as reader:
            chosen = decision_rows.Filter.of(label, photo, None, None, None, None, reader)
        made = decide.added(ledger, lambda: decision_rows.cleared(_read(path, quiet), chosen), dry_run)
        said = f"{counted(len(made), 'decision')} taken back"
    else:
        known = batches(path)
        ids = [batch] if batch else [each.id for each in reversed(known) if not each.undone][:count]
        if batch and re.sub(f"^({UNDO})+", "", batch) not in {each.id for each in known}:
            raise UsageError(f"no command {batch} in {path}; aaam-pipe decisions list --commands has them")
        words = dict[str, str]()
        for number, id in enumerate(ids):
            # each is taken back as if those after it were, too
            taken = decide.added(ledger, partial(take_back, path, id), dry_run) if not (dry_run and number) else []
            words[id] = decision_rows.words(taken)
            made += taken
        if batch and not made:
            raise UsageError(f"what {batch} decided is taken back already")
        counts = {each.id: each.decisions for each in known}
        of = ", ".join(f"{id} ({counted(counts[id], 'decision')}{words[id]})" if id in counts else id for id in ids)
        said = f"taken back: {of}; aaam-pipe decisions undo --command {UNDO}{ids[-1]} brings it again" if ids else ""
    if as_json:
        for each in made:
            render.json_line(to_builtins(each))
    info(("would be: " if dry_run else "") + said if made else f"{path}: there is nothing to take back")


@app.command("import")
def import_decisions(
    table: Annotated[Path, typer.Argument(metavar="FILE", help="A table image,label,value, CSV or JSON lines.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder that the photographs are named from. Default: the table's own.")
    ] = None,
    by: By = "file",
    source: Annotated[str | None, typer.Option(help="Who or what it is. Default: `import FILE`.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    decisions: defaults.Decisions = None,
    index: defaults.Index = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Take decisions from a table; those that hold already are left out, so that to import twice changes nothing."""
    path = defaults.nearest_decisions(decisions, index)
    with decide.opened(index, quiet) as reader, render.reporter(quiet) as report:
        who = f"import {table.name}" if source is None else source
        made = decide.from_table(table, reader, report, by, who, root)
        new = decision_rows.new(made, _read(path, quiet))
        if held := len(made) - len(new):
            report.info(f"{counted(held, 'decision', ',')} of the table {'holds' if held == 1 else 'hold'} already")
        decide.write(decide.scored(new, reader, report), path, reader, report, {}, dry_run=dry_run, as_json=as_json)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write, .csv or .jsonl; - is stdout, CSV.")],
    label: Label = None,
    by: Annotated[Literal["person", "file", "model"] | None, typer.Option(help="Only what these said.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, whatever the name of the file.")] = False,
    dry_run: DryRun = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    decisions: defaults.Decisions = None,
    index: defaults.Index = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Write what is decided as a table, with the paths of the photographs where there is an index."""
    from aaam_pipeline.formats.decision_lines import refuse_ledger
    from aaam_pipeline.formats.decision_tables import CSV_SUFFIXES, JSON_SUFFIXES, write_rows, write_table

    path = defaults.nearest_decisions(decisions, index)
    to_stdout = str(file) == "-"
    if not to_stdout and file.suffix.lower() not in (*CSV_SUFFIXES, *JSON_SUFFIXES):
        raise UsageError(f"{file}: name a file that ends in .csv or .jsonl")
    if file.exists() and not force and not to_stdout:
        raise UsageError(f"{file} is there already; --force replaces it")
    refuse_ledger(file)
    lines = as_json or file.suffix.lower() in JSON_SUFFIXES
    with decide.opened(index, quiet) as reader:
        chosen = decision_rows.Filter.of(label, None, None, by, None, None, reader)
        rows = (
            row
            for block in decision_rows.located(decision_rows.in_force(_read(path, quiet), chosen), reader)
            for row in block
        )
        if dry_run:
            count = sum(1 for _ in rows)
        else:
            count = write_rows(rows, sys.stdout, lines) if to_stdout else write_table(rows, file, lines)
    would = " would be" if dry_run else ""
    render.PlainReporter(quiet).info(f"{counted(count, 'decision', ',')}{would} written to {file}")


@app.command("merge")
def merge(
    others: Annotated[
        list[Path] | None, typer.Argument(help="Other ledgers. Without any: resolve the marks of a conflict of git.")
    ] = None,
    dry_run: DryRun = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, nothing else on stdout.")] = False,
    decisions: defaults.Decisions = None,
    index: defaults.Index = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Take the lines of other ledgers into this one, each once; to merge again changes nothing."""
    from aaam_pipeline.curation.ledger import Ledger, check_is_ledger
    from aaam_pipeline.curation.merge import has_conflict, merged

    path = defaults.nearest_decisions(decisions, index)
    for other in others or ():
        if not other.is_file():
            raise UsageError(f"{other}: no such file; name a ledger, such as {DECISIONS}")
        check_is_ledger(other)
    contents = [other.read_bytes() for other in others or ()]

    def joined(own: bytes) -> bytes:
        if not contents and not has_conflict(own):
            raise UsageError(f"{path} has no marks of a conflict of git; name other ledgers to merge")
        return merged([own, *contents])

    if dry_run:
        own = path.read_bytes() if path.exists() else b""
        found = joined(own)
    else:
        own, found = Ledger(path).rewrite(joined)
    facts = {"lines": found.count(b"\n"), "before": own.count(b"\n")}
    changed = found != own
    if as_json:
        render.json_line({"ledger": str(path), **facts, "changed": changed})
    lines = f"{counted(facts['lines'], 'line', ',')}, {facts['before']:,} before"
    done = "would be merged" if dry_run else "merged"
    render.PlainReporter(quiet).info(f"{path}: {f'{done}; {lines}' if changed else f'nothing new; {lines}'}")


@app.command("verify")
def verify(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, nothing else on stdout.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Move lines that cannot be read to a file beside the ledger.")
    ] = False,
    decisions: defaults.Decisions = None,
    index: defaults.Index = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Check that each line can be read; exit code 4, with the lines and why, if not."""
    path = defaults.nearest_decisions(decisions, index)
    if not path.exists():
        raise UsageError(f"{path}: there is no ledger yet; aaam-pipe decide makes one")
    if repair:
        from aaam_pipeline.curation.ledger import Ledger

        if moved := Ledger(path).repair():
            render.PlainReporter(quiet).info(f"{counted(moved, 'line')} moved to {path.name}.cut, beside it")
    read = _read(path, quiet=True)
    facts = decision_rows.counts(read)
    if as_json:
        render.json_line(
            {"ledger": str(path), **facts, "faults": [{"line": each.line, "why": each.why} for each in read.faults]}
        )
    else:
        for fault in read.faults:
            print(f"{path}, line {fault.line}: {fault.why}")
    if read.skipped:
        cut = "; the next decision moves the cut one away" if read.cut else ""
        lines = f"{counted(read.skipped, 'line')} of {read.lines + read.skipped:,}"
        raise IntegrityError(
            f"{path}: {lines} cannot be read, the others hold{cut}; decisions merge resolves marks of git, decisions "
            "verify --repair moves the others away"
        )
    if not as_json:
        print(f"{path}: sound; {decision_rows.sentence(facts)}")


def _read(path: Path, quiet: bool) -> "Decisions":
    """Read the ledger, and say what could not be read."""
    from aaam_pipeline.formats import decisions

    found = decisions.read(path)
    for remark in found.remarks():
        render.PlainReporter(quiet).info(remark)
    return found
