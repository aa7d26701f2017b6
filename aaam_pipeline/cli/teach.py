"""`aaam-pipe teach`: a new word from photographs that show it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aaam_pipeline.cli import defaults, render
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.logging import CONTROLS, printable
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.cli.teacher import Taught
    from aaam_pipeline.formats.taught import TaughtLine

Names = Annotated[list[str] | None, typer.Option(help="Photographs that show it: folders, lists, files.")]


def teach(
    word: Annotated[list[str] | None, typer.Argument(help="The word, as you will search for it.")] = None,
    yes: Annotated[
        list[str] | None, typer.Option(help="Photographs that show it: folders, lists, files; up to the next option.")
    ] = None,
    no: Annotated[
        list[str] | None, typer.Option(help="Photographs that do not, though they are like it; as --yes.")
    ] = None,
    from_decisions: Annotated[
        bool,
        typer.Option(
            "--from-decisions", help="Teach, or teach again, all words with new decisions; with WORD: this one."
        ),
    ] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the words that you taught.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Forget WORD; decisions stay.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how well it is learned, and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a word, nothing else on stdout.")] = False,
    taught: defaults.Taught = None,
    decisions: defaults.Decisions = None,
    index: defaults.Index = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Model, for photographs that are not in the index. Default: the index's own."),
    ] = None,
    device: defaults.Device = "auto",
    quiet: defaults.Quiet = False,
) -> None:
    """Teach a word that the model does not know, by a few photographs; search, labels and new photographs have it."""
    name = _checked(" ".join(word or ()), yes, no, from_decisions=from_decisions, listing=listing, forget=forget)
    folder = defaults.index(index, quiet)
    path = defaults.taught(taught, folder)
    if listing:
        _list(path, folder, as_json)
        return
    if forget:
        _forget(name, path, folder, dry_run=dry_run, as_json=as_json, quiet=quiet)
        return
    import aaam_pipeline.search as engine
    from aaam_pipeline.cli.search import embedder
    from aaam_pipeline.cli.teacher import Teacher

    with engine.open(folder) as opened, render.reporter(quiet) as report:
        teacher = Teacher(opened, embedder(model, device, opened), path, defaults.decisions(decisions, folder), report)
        found = teacher.renew(name) if from_decisions else [teacher.teach(name, yes or (), no or ())]
        if found and not dry_run:
            manifest = teacher.write(found)
            images = {column.label: column.images for column in manifest.taught}
        else:
            images = {}
    for each in found:
        _say(each, images.get(each.line.word.label), folder, as_json)
    if not found:
        render.PlainReporter(quiet).info("no word has new decisions")
    elif not quiet and not as_json:
        said = "nothing was written: --dry-run" if dry_run else f'next: aaam-pipe search "{found[0].line.word.label}"'
        render.PlainReporter(quiet).info(said)


def _checked(name: str, yes: Any, no: Any, *, from_decisions: bool, listing: bool, forget: bool) -> str:
    """Return the word as it is kept; check that the options go together.

    Raises:
        UsageError: they do not, or the word cannot be one.
    """
    from aaam_pipeline.formats.vocabulary import fault_of_labels

    name = " ".join(name.split())
    chosen = [option for option, given in zip(
        ("--from-decisions", "--list", "--forget"), (from_decisions, listing, forget), strict=True
    ) if given]  # fmt: skip
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} exclude each other")
    if chosen and (yes or no):
        raise UsageError(f"{chosen[0]} and {'--yes' if yes else '--no'} exclude each other")
    if not name and (not chosen or forget):
        raise UsageError('name the word first: aaam-pipe teach "my dog" --yes FOLDER')
    if name and (fault_of_labels([name]) or CONTROLS.search(name)):
        raise UsageError(f"{name!a} can be no word: it needs a character that can be seen, and no control characters")
    if not chosen and not yes:
        raise UsageError(f'name photographs that show it: aaam-pipe teach "{name}" --yes FOLDER')
    return name


def _say(found: "Taught", images: int | None, index: Path, as_json: bool) -> None:
    word, judgement = found.line.word, found.judgement
    if as_json:
        facts: dict[str, Any] = {
            "label": word.label,
            "yes": len(word.yes),
            "no": len(word.no),
            "unlabelled": word.unlabelled,
            "ap": round(word.ap, 4),
            "ap_low": round(word.low, 4),
            "ap_high": round(word.high, 4),
            "share": round(judgement.share, 5),
            "threshold": round(word.threshold, 4),
            "images": images,
            "renewed": found.renewed,
        }
        render.json_line(facts)
        return
    others = f" and {len(word.no)} without it" if word.no else ""
    ap = f"AP {word.ap:.2f} ({word.low:.2f} to {word.high:.2f}; an estimate: some of the others may show it, too)"
    sure = f"{ap} in cross-validation among {word.unlabelled} others"
    said = f"{word.label!r}: learned from {counted(len(word.yes), 'photograph')}{others}; {sure}"
    if images is not None:
        said += f"; {counted(images, 'image')} of {index} {'has' if images == 1 else 'have'} it"
    print(printable(said))


def _list(path: Path, folder: Path, as_json: bool) -> None:
    """Print the words of the file, each with what the index says of it."""
    from aaam_pipeline.formats import taught
    from aaam_pipeline.index import manifest
    from aaam_pipeline.index.taught import left_out

    lines, read = taught.read(path), manifest.read(folder)
    columns = {column.digest: column for column in read.taught}
    cells = []
    for line in lines:
        word, column = line.word, columns.get(line.digest)
        if as_json:
            facts = {"label": word.label, "yes": len(word.yes), "no": len(word.no), "ap": round(word.ap, 4)}
            facts |= {"ap_low": round(word.low, 4), "ap_high": round(word.high, 4), "threshold": word.threshold}
            render.json_line(facts | {"at": word.at, "images": column and column.images, "embedding": word.embedding})
        else:
            count = "not in the index" if column is None else str(column.images)
            sure = f"AP {word.ap:.2f} ({word.low:.2f} to {word.high:.2f})"
            cells.append([count, word.label, word.origin, sure, word.at])
    if not as_json:
        render.rows(["images", "word", "", "", ""], cells)
    info = render.PlainReporter(False).info
    if not lines:
        info(f"no words were taught: {path} holds none")
    for remark in left_out(lines, read.model_id, read.vocabulary):
        info(remark)


def _forget(name: str, path: Path, folder: Path, *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    from aaam_pipeline.cli.teacher import WAIT
    from aaam_pipeline.core.locks import exclusive
    from aaam_pipeline.formats import taught
    from aaam_pipeline.index.taught import renew

    with exclusive(path, wait=WAIT, option="--taught"):
        lines = taught.read(path)
        known = taught.find(lines, name)
        if known is None:
            raise UsageError(f"{name!r} was not taught{_taught_ones(lines)}")
        if not dry_run:
            rest = [line for line in lines if line is not known]
            taught.write(path, rest)
            renew(folder, rest)
    if as_json:
        render.json_line({"label": known.word.label, "forgotten": not dry_run})
    elif dry_run:
        print(printable(f"{known.word.label!r} would be forgotten; nothing was written: --dry-run"))
    else:
        print(printable(f"{known.word.label!r} is forgotten; what you decided about it stays"))


def _taught_ones(lines: "Iterable[TaughtLine]") -> str:
    words = [line.word.label for line in lines]
    return f"; taught are {', '.join(words[:5])}" + (", ..." if words[5:] else "") if words else ", nor any other word"
