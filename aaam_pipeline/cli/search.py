"""`aaam-pipe search` and `similar`: what is answered from an index."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aaam_pipeline.cli import defaults, output, render
from aaam_pipeline.core.artifacts import real_path
from aaam_pipeline.core.errors import UnknownLabelError, UsageError
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.search import Embed, Index
    from aaam_pipeline.search.hits import Hit
    from aaam_pipeline.search.parser import ParsedQuery
    from aaam_pipeline.search.reader import IndexReader

# scores are calibrated, so of best hits below it nine in ten would be wrong
UNLIKELY = 0.1
Query = Annotated[
    list[str],
    typer.Argument(
        help='A query: "football dog|cat -crowd width>1000"; see docs/search.md.',
        autocompletion=defaults.complete_labels,
    ),
]


def search(
    context: typer.Context,
    query: Query,
    top: output.Top = 20,
    offset: output.Offset = 0,
    existing: output.Existing = False,
    min_score: output.MinScore = 0.0,
    as_json: output.Json = False,
    csv: output.Csv = False,
    paths: output.Paths = False,
    print0: output.Print0 = False,
    preview: output.Preview = False,
    copy_to: output.CopyTo = None,
    link_to: output.LinkTo = None,
    html: output.Html = None,
    force: output.Force = False,
    explain: output.Explain = False,
    words: defaults.Words = None,
    index: defaults.Index = None,
    decisions: defaults.Decisions = None,
    no_decisions: defaults.NoDecisions = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Find images by keywords, best first."""
    out = output.OutputOptions.of(context)
    import aaam_pipeline.search as engine
    from aaam_pipeline.search.assigned import likely_score
    from aaam_pipeline.search.thesaurus import load

    own, folder = load(words) if words else None, defaults.index(index, quiet)
    ledger = defaults.ledger(context, folder)
    with engine.open(folder, thesaurus=own, decisions=ledger) as opened:
        try:
            asked = opened.parse(" ".join(query))
        except UnknownLabelError as error:
            newer = defaults.newer_annotations(opened.folder, opened.manifest)
            raise UnknownLabelError("; ".join(filter(None, [str(error), newer]))) from None
        info = render.PlainReporter(quiet).info
        for note in (*opened.decisions.remarks(), *asked.notes):
            info(note)
        explained = opened.explain(asked, top, offset=offset, existing=existing) if out.explain else None
        found = (
            opened.query(asked, top, offset=offset, existing=existing)
            if explained is None
            else [each.hit for each in explained]
        )
        best = found[0].score if found else 0.0
        found = [hit for hit in found if hit.score >= min_score]
        explained = explained and explained[: len(found)]
        likely = likely_score(opened, asked.node) if html else 0.0
        out.write(found, title=" ".join(query), labels=opened.labels(asked), explained=explained, likely=likely)
        if not found and best:
            info(f"no image has a score of {min_score:g}: the best here has {best:.2g}")
        for note in () if best and not found else _notes(found, asked, opened, offset, existing):
            info(note)
        for column in opened.manifest.taught if explained else ():
            if column.label in opened.labels(asked):
                info(
                    f"{column.label!r} was {column.origin}, AP {column.ap:.2f} ({column.low:.2f} to {column.high:.2f})"
                )


def _notes(found: "list[Hit]", asked: "ParsedQuery", opened: "Index", offset: int, existing: bool) -> Iterator[str]:
    """Yield what is to be known of the hits of a query."""
    from aaam_pipeline.search.query import MetadataFilter, asks_for, leaves

    unfamiliar = sum(bool(hit.unfamiliar) for hit in found)
    if unfamiliar and not asks_for(asked.node, "unfamiliar"):
        yield (
            f"{unfamiliar} of {len(found)} are unlike all that the model was trained with, and may be wrong; "
            "-unfamiliar:yes leaves them out"
        )
    if found and found[0].score < UNLIKELY and not offset:
        yield f"no image is likely to fit this query: the score of the best is {found[0].score:.2g}"
    if not found:
        yield _nothing(opened.manifest.images, offset, existing)
        for leaf in leaves(asked.node):
            match leaf:
                case MetadataFilter("path" | "root" as field, _, str() as pattern) if not pattern.startswith("*"):
                    if opened.query(asked._replace(node=leaf), 1):
                        # it is another part of the query that nothing fits
                        continue
                    yield f"{field}: is compared with the whole path; anywhere in it: {field}:*{pattern.strip('*')}*"


def _nothing(images: int, offset: int, existing: bool) -> str:
    """Say that a page has no hits."""
    last = min(offset, images)
    fit, are = ("fit", "are") if last > 1 else ("fits", "is")
    said = f"at most {counted(last, 'image')}" if offset else f"none of {counted(images, 'image')}"
    return f"{said} {fit} this query" + f" and {are} there" * existing


def similar(
    context: typer.Context,
    photos: Annotated[
        list[str], typer.Argument(help="Photographs, in the index or not; URLs that are in it. Of several, the mean.")
    ],
    unlike: Annotated[
        list[str] | None, typer.Option("--not", help="A photograph that hits shall be unlike. May be repeated.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="Keywords that hits shall also fit: a query as of `search`.")
    ] = None,
    top: output.Top = 20,
    offset: output.Offset = 0,
    existing: output.Existing = False,
    as_json: output.Json = False,
    csv: output.Csv = False,
    paths: output.Paths = False,
    print0: output.Print0 = False,
    preview: output.Preview = False,
    copy_to: output.CopyTo = None,
    link_to: output.LinkTo = None,
    html: output.Html = None,
    force: output.Force = False,
    words: defaults.Words = None,
    index: defaults.Index = None,
    decisions: defaults.Decisions = None,
    no_decisions: defaults.NoDecisions = False,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Model, a folder or a name, for a photograph that is not in the index. Default: the index's own."
        ),
    ] = None,
    device: defaults.Device = "auto",
    quiet: defaults.Quiet = False,
) -> None:
    """Find images that look like photographs, most like first."""
    out = output.OutputOptions.of(context)
    import aaam_pipeline.search as engine
    from aaam_pipeline.search.thesaurus import load

    own, folder = load(words) if words else None, defaults.index(index, quiet)
    ledger = defaults.ledger(context, folder)
    with engine.open(folder, thesaurus=own, decisions=ledger) as opened:
        opened.embed = embedder(model, device, opened)
        asked = None if query is None else opened.parse(query)
        for note in (*opened.decisions.remarks(), *(asked.notes if asked else ())):
            render.PlainReporter(quiet).info(note)
        hits = opened.similar(photos, top, unlike=unlike or (), query=asked, offset=offset, existing=existing)
        names = opened.labels(asked) if asked else []
        title = " ".join(["similar to", *photos, *(f"not {each}" for each in unlike or ()), query or ""]).strip()
        out.write(hits, title=title, labels=names)


def embedder(named: Path | None, device: str, index: "IndexReader") -> "Embed":
    """Return a function that loads the model named, or the index's own, only when a photograph needs it, and once."""
    model_id, before = index.manifest.model_id, real_path(Path(located(index.manifest.model_path, index.folder)))

    @cache
    def load() -> "Embed":
        from aaam_pipeline.annotate.backends import Embedder
        from aaam_pipeline.models import library

        if named:
            return Embedder(defaults.model(named), device, model_id)
        if found := library.with_id(model_id, [before, *library.folders(Path.cwd())], exact=False):
            return Embedder(found[0], device, model_id)
        if before.exists():
            return Embedder(before, device, model_id)
        raise UsageError(
            f"a photograph is not in the index and needs its model, which is not at {before} any more, nor among the "
            "models that `aaam-pipe model list` shows: name it with --model"
        )

    return lambda photo: load()(photo)
