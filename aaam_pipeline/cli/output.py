"""How commands that list hits give them out: their options, and what each does. Shared by `search` and `similar`."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aaam_pipeline.cli import render
from aaam_pipeline.core.csv_cells import to_cells
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.search import Explanation, Hit

Top = Annotated[int, typer.Option("--top", "-t", min=1, help="How many images to show.")]
Offset = Annotated[
    int, typer.Option(min=0, help="Leave out so many of the best: --top 20 --offset 20 is the second page.")
]
Existing = Annotated[
    bool, typer.Option("--existing", help="Leave out images whose files are gone, and show others instead.")
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Show what each term of the query contributed to the score of a hit.")
]
MinScore = Annotated[float, typer.Option(min=0, max=1, help="Leave out images with a lower score than this, 0 to 1.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, nothing else on stdout.")]
Csv = Annotated[bool, typer.Option("--csv", help="CSV with a header, and a column for the score of each label asked.")]
Paths = Annotated[bool, typer.Option("--paths", help="Paths only, one a line.")]
Print0 = Annotated[
    bool, typer.Option("--print0", "-0", help="Paths only, each ended by a NUL character: for `xargs -0`.")
]
CopyTo = Annotated[
    Path | None, typer.Option(help="Also copy the images into this new or empty folder, as 0001_NAME, by rank.")
]
LinkTo = Annotated[Path | None, typer.Option(help="Likewise, but as symbolic links.")]
Html = Annotated[Path | None, typer.Option(help="Also write a contact sheet: one HTML file that holds its thumbnails.")]
Force = Annotated[bool, typer.Option("--force", help="Let --html replace a file that is no contact sheet.")]
Preview = Annotated[bool, typer.Option("--preview", help="Show thumbnails, where the terminal can.")]

# options of which only one may be given; an explanation may be JSON, too
EXCLUSIVE = (
    ("as_json", "csv", "paths", "print0", "preview"),
    ("csv", "paths", "print0", "preview", "explain"),
    ("copy_to", "link_to"),
)
# a comma would need quotes inside the quotes of most rows
BETWEEN_LABELS = ";"


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What was asked for; checked when it is made, before any work is done.

    Raises:
        UsageError: options that exclude each other, or a path that cannot be written to.
    """

    as_json: bool = False
    csv: bool = False
    paths: bool = False
    print0: bool = False
    explain: bool = False
    preview: bool = False
    copy_to: Path | None = None
    link_to: Path | None = None
    html: Path | None = None
    force: bool = False
    offset: int = 0
    quiet: bool = False

    @classmethod
    def of(cls, context: typer.Context) -> "OutputOptions":
        """Take those of a command's options that have the names of fields."""
        given = exclusive(context, *EXCLUSIVE)
        return cls(**{each.name: given[each.name] for each in fields(cls) if each.name in given})

    def __post_init__(self) -> None:
        for folder in filter(None, (self.copy_to, self.link_to)):
            if folder.exists() and not folder.is_dir():
                raise UsageError(f"{folder} is a file, not a folder")
            if folder.exists() and any(folder.iterdir()):
                raise UsageError(f"{folder} is not empty; name a new folder, nothing is ever overwritten")
        if self.html:
            check_page(self.html, self.force)

    def write(
        self,
        hits: "Sequence[Hit]",
        *,
        title: str,
        labels: Sequence[str] = (),
        explained: "Sequence[Explanation] | None" = None,
        likely: float = 0.0,
    ) -> None:
        """Write files first, then the hits on stdout, best first; `labels`: those that the query names.

        `likely`: the score below which hits are unlikely to fit, where that is known.

        Raises:
            typer.Exit: with 1, after all else, when images could not be copied or linked.
        """
        complete = True
        if folder := self.copy_to or self.link_to:
            from aaam_pipeline.cli import photos

            complete = photos.collect(hits, folder, link=self.link_to is not None, first=self.offset + 1)
            if complete:
                done = "linked" if self.link_to else "copied"
                render.PlainReporter(self.quiet).info(f"{counted(len(hits), 'image')} {done} to {folder}")
        if self.html:
            from aaam_pipeline.cli import contact_sheet

            contact_sheet.write(hits, title, self.html, _unlikely(hits, likely))
            render.PlainReporter(self.quiet).info(f"wrote {self.html}")
        if explained is not None:
            render.explanations(explained, as_json=self.as_json, first=self.offset + 1)
        elif self.csv:
            _csv(hits, labels)
        elif self.paths or self.print0:
            render.paths(hits, nul=self.print0)
        elif not (self.preview and _previewed(hits, self.quiet)):
            render.hits(hits, as_json=self.as_json, first=self.offset + 1)
        if not complete:
            # a reader of stdout that has gone is noticed here, not while Python shuts down
            sys.stdout.flush()
            raise typer.Exit(1)


def check_page(path: Path, force: bool) -> None:
    """Check that a contact sheet may be written.

    Raises:
        UsageError: it may not; says why.
    """
    # a photograph named by mistake must not be replaced by a page
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {path}: name a file that ends in .html")
    from aaam_pipeline.cli import contact_sheet

    contact_sheet.check(path, force)


def _unlikely(hits: "Sequence[Hit]", likely: float) -> dict[int, str]:
    """Return the line that a contact sheet has before the first hit that is unlikely, by the number of this hit."""
    first = next((number for number, hit in enumerate(hits) if hit.score < likely), None)
    text = f"less likely from here on: scores below {likely:.2g}, at which an image gets the labels"
    return {} if first is None else {first: text}


def _previewed(hits: "Sequence[Hit]", quiet: bool) -> bool:
    """Show hits with thumbnails; where that cannot be, say why, and return False."""
    from aaam_pipeline.cli import preview

    show = preview.chosen(sys.stdout.isatty())
    if isinstance(show, str):
        render.PlainReporter(quiet).info(f"no preview: {show}")
        return False
    for hit in hits:
        print(preview.picture(hit, show))
        print(*map(printable, render.line(hit)), sep="  ", end="\n\n")
    return True


def _csv(hits: "Sequence[Hit]", labels: Sequence[str]) -> None:
    """Print hits as RFC 4180 has it: lines end in CR LF, what holds a comma or a quote is quoted; formulas are text."""
    lines = csv.writer(sys.stdout)
    # the prefix: `path` is a label of photographs too
    names = ["score", "path", "root", "location", "labels", "exists", "unfamiliar"]
    lines.writerow([*names, *(f"score:{label}" for label in labels)])
    for hit in hits:
        scores = [hit.label_scores[label] for label in labels]
        known = [{True: "true", False: "false", None: ""}[each] for each in (hit.exists, hit.unfamiliar)]
        row = [hit.score, hit.path, hit.root, hit.location, BETWEEN_LABELS.join(hit.labels), *known, *scores]
        lines.writerow(to_cells(row))


def exclusive(context: typer.Context, *groups: Sequence[str]) -> dict[str, Any]:
    """Return a command's options; in a group that excludes each other, one that is typed wins over those of a file.

    Raises:
        UsageError: more than one of a group is given; --paths and --print0 are one.
    """
    given = dict(context.params)
    for group in groups:
        typed = {name for name in group if given.get(name) and is_typed(context, name)}
        if typed:
            given |= dict.fromkeys(set(group) - typed)
    for group in groups:
        names = [name for name in group if given.get(name) and not (name == "paths" and given["print0"])]
        if len(names) > 1:
            first, second = (f"--{name.removeprefix('as_').replace('_', '-')}" for name in names[:2])
            raise UsageError(f"{first} and {second} exclude each other")
    return given


def is_typed(context: typer.Context, name: str) -> bool:
    """Return whether an option stands on the command line, not in a file or a variable."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
