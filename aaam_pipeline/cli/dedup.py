"""`aaam-pipe dedup`: copies and near-duplicates, in groups."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aaam_pipeline.cli import defaults, output, render
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.search import Index
    from aaam_pipeline.search.duplicates import DuplicateGroup, Duplicates
    from aaam_pipeline.search.hits import Hit

# below, groups hold other pictures at times: docs/duplicates.md
SURE = 0.8
# thumbnails of a page
SHOWN = 1000

Html = Annotated[
    Path | None, typer.Option(help="Also write a contact sheet of the groups: one HTML file that holds its thumbnails.")
]
Near = Annotated[
    bool,
    typer.Option(
        "--near",
        help="With --paths or -0: also near-duplicates of the first of their group. Look at them first (--html), "
        "or ask for --similarity 0.8.",
    ),
]


def dedup(
    context: typer.Context,
    similarity: Annotated[
        float,
        typer.Option(
            help="The least share of equal bits in the perceptual hashes of near-duplicates, 0 to 1. Below 0.8, other "
            "pictures are in a group at times."
        ),
    ] = 0.765,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a group, nothing else on stdout.")] = False,
    paths: Annotated[
        bool, typer.Option("--paths", help="Only files that can go, one a line: of each, one of the same bytes stays.")
    ] = False,
    print0: Annotated[
        bool, typer.Option("--print0", "-0", help="Likewise, each ended by a NUL character: for `xargs -0`.")
    ] = False,
    near: Near = False,
    html: Html = None,
    force: output.Force = False,
    index: defaults.Index = None,
    decisions: defaults.Decisions = None,
    no_decisions: defaults.NoDecisions = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Group copies and near-duplicates, the best image of a group first; nothing is deleted."""
    given = output.exclusive(context, ("as_json", "paths", "print0"))
    if not 0 < similarity <= 1:
        raise UsageError(f"--similarity must be above 0 and at most 1, not {similarity}")
    if output.is_typed(context, "near") and not (given["paths"] or given["print0"]):
        raise UsageError("--near is for --paths and -0: without them, near-duplicates are shown in any case")
    if html:
        output.check_page(html, force)
    import aaam_pipeline.search as engine
    from aaam_pipeline.search.duplicates import find_duplicates, surplus

    info = render.PlainReporter(quiet).info
    folder = defaults.index(index, quiet)
    with engine.open(folder, decisions=defaults.ledger(context, folder)) as opened:
        with render.reporter(quiet) as report:
            found = find_duplicates(opened, report, similarity)
        images = opened.manifest.images
        for line in _write_page(found.groups, html, opened) if html else ():
            info(line)
    can_go = surplus(found.groups, near=near) if given["paths"] or given["print0"] else None
    if can_go is not None:
        render.paths(can_go, nul=bool(given["print0"]))
    else:
        render.groups(found.groups, as_json=bool(given["as_json"]))
    for line in _summary(found, images):
        info(line)
    if can_go is not None and found.groups:
        stays = "the first of its group" if near else "a file of the same bytes"
        info(f"{len(can_go)} of them {'is' if len(can_go) == 1 else 'are'} listed: of each, {stays} stays")
    if similarity < SURE and (near or output.is_typed(context, "similarity")) and found.counts()[1]:
        info(f"below {SURE}, other pictures are in a group at times: look at the groups before you delete (--html)")


def _summary(found: "Duplicates", images: int) -> Iterator[str]:
    """Yield what is said about duplicates on stderr."""
    same, alike = found.counts()
    exact = f"; {same} byte for byte" if same else ""
    duplicate = "duplicates" if same + alike == 1 else "duplicate"
    groups = counted(len(found.groups), "group")
    yield f"{same + alike} of {counted(images, 'image')} {duplicate} another, in {groups}{exact}"
    if found.gone:
        yield f"{found.gone} left out: gone or changed since they were annotated"
    if found.unhashed:
        yield (
            f"{found.unhashed} without a perceptual hash, compared byte for byte only: flat pictures, and those of an "
            "earlier version (annotate --on-existing overwrite)"
        )


def _write_page(groups: "list[DuplicateGroup]", path: Path, index: "Index") -> Iterator[str]:
    """Write a contact sheet, and yield what is said of it: a heading for each group, and how each image is like it."""
    from aaam_pipeline.cli import contact_sheet

    hits: list[Hit] = []
    heads: dict[int, str] = {}
    shown = 0
    for shown, group in enumerate(groups, 1):
        if len(hits) + len(group.images) > SHOWN and hits:
            shown -= 1
            break
        heads[len(hits)] = f"group {shown}: {counted(len(group.images), 'image')}"
        for kind, image in zip(render.kinds(group), group.images, strict=True):
            hit = image.hit.decided_as(index.decided(image.sha256))
            hits.append(hit._replace(labels=[kind, *hit.labels]))
    contact_sheet.write(hits, "copies and near-duplicates", path, heads)
    left = len(groups) - shown
    yield f"wrote {path}" + (f" with the first {shown} groups; {left} more are not on it" if left else "")
