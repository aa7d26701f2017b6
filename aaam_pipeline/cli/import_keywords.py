"""`aaam-pipe import-keywords`: what people wrote into photographs and sidecars, as a list and as decisions."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer import Option

from aaam_pipeline.cli import defaults, output, render
from aaam_pipeline.core.artifacts import path_text, real_path
from aaam_pipeline.core.errors import FailureRateError, UsageError
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.exchange.importing import ImportItem, ImportSummary, KeywordTally
    from aaam_pipeline.formats.parts import AnnotationsManifest

ROWS = 16384
# photographs that cannot be read and are named; of more the number is said
MOST_NAMED = 5
MOST_FAILED = 0.1
ROWS_OF_INDEX = (
    "SELECT root, path, sha256, bytes, epoch_us(mtime) FROM images "
    "WHERE id >= $1 AND id < $2 AND NOT contains(root, '://') ORDER BY id"
)


def import_keywords(
    photographs: Annotated[
        Path | None,
        typer.Argument(help="Folder of photographs, an index, or annotations. Default: the newest index here."),
    ] = None,
    write: Annotated[bool, Option("--write", "--yes", help="Write the decisions; without it they are listed.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Count the decisions that are new, and write none.")] = False,
    only_known: Annotated[bool, Option("--only-known", help="Only keywords that a model has as a word.")] = False,
    exclude: Annotated[
        list[str] | None,
        Option(help="Leave out keywords: a name, or its levels ('Places/*', 'import*'). Repeatable."),
    ] = None,
    parents: Annotated[
        Literal["known", "all", "none"],
        Option(help="Which upper levels of a tree count, too: those that a model knows, all, or none."),
    ] = "known",
    index: defaults.Index = None,
    decisions: defaults.Decisions = None,
    words: defaults.Words = None,
    as_json: output.Json = False,
    quiet: defaults.Quiet = False,
) -> None:
    """List the keywords that people wrote into photographs and sidecars; --write makes decisions of them.

    A keyword is a yes by a file, below a person's decision and above a model. A missing keyword says nothing. What
    aaam-pipe wrote itself is left out.
    """
    from aaam_pipeline.curation.ledger import Ledger, new_batch
    from aaam_pipeline.exchange.importing import Importer
    from aaam_pipeline.formats import decisions as ledgers
    from aaam_pipeline.imaging import sidecar_names
    from aaam_pipeline.index.manifest import is_index

    of_index = photographs is None or is_index(photographs)
    folder = _index(photographs, index, quiet)
    ledger = defaults.decisions(decisions, folder)
    told = Remarks(render.PlainReporter(quiet))
    importer = Importer(
        _match(folder, words),
        sidecar_names.finder(),
        parents=parents,
        only_known=only_known,
        exclude=exclude or (),
        batch=new_batch(),
        told=told,
    )
    with render.reporter(quiet) as report:
        known = ledgers.read(ledger) if write or dry_run else None
        for remark in known.remarks() if known else ():
            report.info(remark)
        items, total = _of_index(folder) if of_index and folder else _of_folder(photographs or Path())
        with report.task("keywords", total) as advance:
            summary = importer.run(items, known, Ledger(ledger).append if write and not dry_run else None, advance)
    _show(summary, as_json, counted_new=known is not None)
    for line in _remarks(summary, ledger, write=write, dry_run=dry_run):
        told.shown.info(line)
    if summary.faults > MOST_FAILED * max(1, summary.photographs):
        everything = counted(summary.photographs, "photograph", ",")
        raise FailureRateError(f"{summary.faults:,} of {everything} cannot be read whole; the rest was taken")


class Remarks:
    """Says which photographs cannot be read whole: the first by name."""

    def __init__(self, shown: render.PlainReporter) -> None:
        self.shown, self.said = shown, 0

    def __call__(self, path: Path, why: str) -> None:
        """Say what is wrong with a photograph."""
        self.said += 1
        if self.said <= MOST_NAMED:
            self.shown.info(f"{path_text(render.near(path))}: {why}")


def _index(photographs: Path | None, named: Path | None, quiet: bool) -> Path | None:
    """Return the index whose photographs are looked at, or whose words are known; None: there is none.

    Raises:
        UsageError: none is named and there is none, or what is named is no folder.
    """
    from aaam_pipeline.index.manifest import is_index

    if photographs is None:
        return defaults.index(named, quiet)
    if not photographs.is_dir():
        raise UsageError(f"no folder {photographs}")
    if is_index(photographs):
        return photographs
    return named or defaults.newest_index()


def _match(folder: Path | None, words: Path | None) -> Callable[[str], str | None]:
    """Return what finds the label that a keyword stands for: itself, its other number, a synonym; never a parent."""
    import msgspec

    from aaam_pipeline.formats.vocabulary import Vocabulary
    from aaam_pipeline.index import manifest
    from aaam_pipeline.search import thesaurus

    if folder is not None:
        labels = manifest.read(folder).vocabulary
    elif model := defaults.default_model():
        from aaam_pipeline.models.info import read_info

        labels = read_info(model.folder).vocabulary
    else:
        return lambda word: None
    vocabulary = Vocabulary(labels)
    without_parents = msgspec.structs.replace(thesaurus.load(words), parents={})
    resolver = thesaurus.LabelResolver(vocabulary, without_parents)

    def match(word: str) -> str | None:
        found = resolver.find(word)
        return vocabulary.labels[found[0]] if len(found) == 1 else None

    return match


def _of_index(folder: Path) -> "tuple[Iterator[ImportItem], int]":
    """Return the photographs of an index, and how many there are."""
    from aaam_pipeline.exchange.importing import ImportItem
    from aaam_pipeline.search.reader import IndexReader

    reader = IndexReader(folder)

    def items() -> "Iterator[ImportItem]":
        with reader:
            for first in range(0, reader.manifest.images, ROWS):
                for root, path, sha256, size, mtime in reader.select(ROWS_OF_INDEX, [first, first + ROWS]):
                    yield ImportItem(real_path(Path(located(root, folder)) / path), sha256, size, mtime)

    return items(), reader.manifest.images


def _of_folder(folder: Path) -> "tuple[Iterator[ImportItem], int]":
    """Return the photographs below a folder, or those of annotations, and how many there are.

    Raises:
        UsageError: there are none.
        IntegrityError: annotations are damaged.
    """
    from aaam_pipeline.annotate import inputs
    from aaam_pipeline.exchange.importing import ImportItem
    from aaam_pipeline.formats.parts import find_manifest, read_annotations_manifest

    if find_manifest(folder).is_file():
        manifest = read_annotations_manifest(folder)
        return _of_annotations(folder, manifest), manifest.successes
    # walking twice is quick beside reading; a list of a million would not be small
    total = sum(1 for _ in inputs.find([folder]))
    found = inputs.find([folder])
    return (ImportItem(Path(item.location), None, item.bytes, item.mtime) for item in found), total


def _of_annotations(folder: Path, manifest: "AnnotationsManifest") -> "Iterator[ImportItem]":
    from aaam_pipeline.exchange.importing import ImportItem
    from aaam_pipeline.exchange.keywords.photographs import photographs, rows_of
    from aaam_pipeline.formats.decisions import resolve

    for each in photographs(folder, rows_of(folder, manifest), resolve([]), None):
        if each.file is not None:
            yield ImportItem(each.file, each.sha256, each.bytes, each.mtime)


def _show(summary: "ImportSummary", as_json: bool, counted_new: bool) -> None:
    for tally in summary.sorted() if as_json else ():
        new = {"new": tally.decided} if counted_new else {}
        render.json_line(
            {
                "keyword": tally.path[-1],
                "levels": list(tally.path),
                "photographs": tally.photographs,
                "label": tally.label,
                "known": tally.known,
                "origins": dict(tally.origins),
                **new,
            }
        )
    if not as_json:
        names = ["keyword", "photographs", "known as", "below", "new"][: 5 if counted_new else 4]
        render.rows(names, [_line(tally, counted_new) for tally in summary.sorted()])


def _line(tally: "KeywordTally", counted_new: bool) -> list[str]:
    known = tally.label if tally.known else ""
    cells = [tally.path[-1], str(tally.photographs), known, "/".join(tally.path[:-1])]
    return [*cells, str(tally.decided)] if counted_new else cells


def _remarks(summary: "ImportSummary", ledger: Path, *, write: bool, dry_run: bool) -> Iterator[str]:
    """Yield what is said at the end."""
    keywords = len(summary.tallies)
    said = f"{summary.with_keywords:,} with keywords; {counted(keywords, 'keyword', ',')}" if keywords else ""
    yield f"{counted(summary.photographs, 'photograph', ',')}: {said or 'none with keywords that people wrote'}"
    if summary.faults > MOST_NAMED:
        yield f"{summary.faults:,} photographs cannot be read whole; what could be read of them counts"
    if summary.gone:
        yield f"{counted(summary.gone, 'photograph', ',')} left out, whose files are not there"
    if summary.stale:
        yield (
            f"{counted(summary.stale, 'photograph', ',')} changed since annotated: their decisions count once "
            "`aaam-pipe annotate` and `aaam-pipe index` have seen them"
        )
    new = counted(summary.decisions, "decision", ",")
    if write and not dry_run:
        yield f"{ledger}: {new} added" + ("" if summary.decisions else ", nothing is new")
    elif dry_run:
        yield f"{new} would be added to {ledger}"
    elif keywords:
        yield "nothing was written: --write makes decisions of them"
