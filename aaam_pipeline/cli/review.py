"""`aaam-pipe review`: what is most worth a decision."""

import csv as csv_files
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aaam_pipeline.cli import defaults, output, render
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.csv_cells import to_cells

if TYPE_CHECKING:
    from aaam_pipeline.cli.library import IndexedLibrary
    from aaam_pipeline.curation.review import ReviewItem
    from aaam_pipeline.search import Hit


NEXT = (
    "to decide: aaam-pipe decide IMAGE --yes LABEL (or --no LABEL); or many at once: "
    "aaam-pipe review --csv > table.csv, fill in its column value, aaam-pipe decide --from table.csv"
)


def review(
    context: typer.Context,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", help="Only this label. Repeatable.", autocompletion=defaults.complete_labels),
    ] = None,
    top: Annotated[int, typer.Option("--top", "-t", min=1, help="How many questions to list.")] = 50,
    as_json: output.Json = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="A table with an empty column value, to fill in for decide --from.")
    ] = False,
    paths: output.Paths = False,
    print0: output.Print0 = False,
    html: output.Html = None,
    force: output.Force = False,
    index: defaults.Index = None,
    decisions: defaults.Decisions = None,
    quiet: defaults.Quiet = False,
) -> None:
    """List photographs and labels that are most worth a decision, best first; what is decided is not asked again."""
    given = output.exclusive(context, ("as_json", "csv", "paths", "print0"))
    if html:
        output.check_page(html, force)
    import aaam_pipeline.search as engine
    from aaam_pipeline.cli.library import IndexedLibrary
    from aaam_pipeline.curation.review import review as find
    from aaam_pipeline.formats import decisions as ledgers
    from aaam_pipeline.formats.vocabulary import Vocabulary

    folder = defaults.index(index, quiet)
    ledger = defaults.decisions(decisions, folder)
    with engine.open(folder) as opened, render.reporter(quiet) as report:
        decided = ledgers.read(ledger)
        for remark in decided.remarks():
            report.info(remark)
        library = IndexedLibrary(opened)
        known = Vocabulary(library.labels)
        names = list(dict.fromkeys(known.labels[known.id(word)] for word in label or ()))
        items = find(library, decided, report, labels=names, top=top)
        hits = _hits(library, items)
    if html:
        from aaam_pipeline.cli import contact_sheet

        contact_sheet.write([_card(*each) for each in zip(hits, items, strict=True)], "review", html)
        render.PlainReporter(quiet).info(f"wrote {html}")
    if given["paths"] or given["print0"]:
        # a photograph may be asked about with several labels
        render.paths(list({hit.location: hit for hit in hits}.values()), nul=bool(given["print0"]))
    elif given["as_json"]:
        for item, hit in zip(items, hits, strict=True):
            render.json_line(_described(library, item, hit))
    elif given["csv"]:
        _print_csv(library, items, hits)
    else:
        names = ["worth", "label", "now", "score", "image", "why"]
        render.rows(names, [_line(item, hit) for item, hit in zip(items, hits, strict=True)])
        if items:
            render.PlainReporter(quiet).info(NEXT)
    if not items:
        render.PlainReporter(quiet).info("nothing to decide: all that is asked about is decided")


def _hits(library: "IndexedLibrary", items: "Sequence[ReviewItem]") -> "list[Hit]":
    """Return the photographs of items, each with the score of its label."""
    rows = sorted({item.row for item in items})
    found = dict(zip(rows, library.hits(rows), strict=True))
    return [found[item.row]._replace(score=item.score, label_scores={item.label: item.score}) for item in items]


def _card(hit: "Hit", item: "ReviewItem") -> "Hit":
    """Return what a contact sheet shows: the label with its score, what holds now, and why that is asked."""
    return hit._replace(score=item.worth, labels=[f"now {_now(item)}", item.why])


def _now(item: "ReviewItem") -> str:
    return "yes" if item.assigned else "no"


def _line(item: "ReviewItem", hit: "Hit") -> list[str]:
    place = hit.location if hit.is_remote else path_text(render.near(hit.file))
    return [f"{item.worth:.5f}", item.label, _now(item), f"{item.score:.3f}", place, item.why]


def _print_csv(library: "IndexedLibrary", items: "Sequence[ReviewItem]", hits: "Sequence[Hit]") -> None:
    """Print a table as `decide --from` reads it, with an empty cell for each decision."""
    lines = csv_files.writer(sys.stdout)
    lines.writerow(["image", "label", "value", "now", "score", "why", "sha256"])
    for item, hit in zip(items, hits, strict=True):
        image = hit.location if hit.is_remote else path_text(hit.file)
        row = [image, item.label, "", _now(item), f"{item.score:.4f}", item.why, library.sha256(item.row) or ""]
        lines.writerow(to_cells(row))


def _described(library: "IndexedLibrary", item: "ReviewItem", hit: "Hit") -> dict[str, Any]:
    """Return what JSON says of an item; `sha256`, `label`: what `aaam-pipe decisions import` keys a decision by."""
    return {
        "path": hit.path,
        "root": hit.root,
        "sha256": library.sha256(item.row),
        "label": item.label,
        # for a person to fill in; empty, it is no decision
        "value": "",
        "now": _now(item),
        "why": item.why,
        "score": item.score,
        "neighbours": item.neighbours,
        "chance_wrong": item.chance_wrong,
        "worth": item.worth,
    }
