"""A report as sections of texts, tables and charts, and as the Markdown or HTML that it is written as.

Markdown is also good to read as plain text: columns are padded to one width. The HTML page needs no other file: light
or dark, good to print, readable without its script. It is `templates/report.html.j2`. The script sorts a table by the
column that is clicked on; the page's policy allows it by its hash, and nothing else to run or be fetched, even if a
label were not escaped somewhere.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from aaam_pipeline.core.logging import printable, printable_lines

NONE = "—"
SPECIAL = re.compile(r"([\\`*_\[\]<>|])")


class Column(NamedTuple):
    """A column of a table: numbers to the right unless it is `text`; `group` is a heading above several of them."""

    name: str
    group: str = ""
    text: bool = False


class Table(NamedTuple):
    """A table of strings; `note` says below it what a reader must know, `strong` are rows to be seen first."""

    title: str
    columns: list[Column]
    rows: list[list[str]]
    note: str = ""
    strong: frozenset[int] = frozenset()


class Chart(NamedTuple):
    """A drawing: `svg` is a whole SVG document, `name` the file beside a Markdown report."""

    name: str
    title: str
    svg: str
    note: str = ""


class Section(NamedTuple):
    """A part of a report, under a heading if it has a title. `folded`: a page may hide it at first."""

    title: str
    text: str
    items: list[Table | Chart]
    folded: bool = False


def percent(value: float | None, digits: int = 1) -> str:
    """Return a fraction in percent, without the sign; a dash for None."""
    return NONE if value is None else f"{100 * value:.{digits}f}"


def signed(value: float | None, digits: int = 1) -> str:
    """Return a difference of fractions in percentage points, always with its sign; a dash for None."""
    return NONE if value is None else f"{round(100 * value, digits) + 0.0:+.{digits}f}"


def render_markdown(title: str, text: str, sections: Sequence[Section]) -> str:
    """Return a report as Markdown; its charts are files beside it, `<name>.svg`."""
    parts = [f"# {escape(title)}", text]
    for section in sections:
        parts += [f"## {escape(section.title)}" if section.title else "", escape(section.text)]
        for item in section.items:
            shown = markdown_table(item) if isinstance(item, Table) else f"![{escape(item.title)}]({item.name}.svg)"
            parts += [f"{'###' if section.title else '##'} {escape(item.title)}", shown, escape(item.note)]
    return "\n\n".join(part for part in parts if part) + "\n"


def chart_files(sections: Sequence[Section]) -> dict[str, str]:
    """Return the files that Markdown needs beside it: name -> content."""
    return {f"{item.name}.svg": item.svg for each in sections for item in each.items if isinstance(item, Chart)}


def markdown_table(content: Table) -> str:
    """Return a table with aligned columns; groups are written into the names of their columns."""
    names = [escape(f"{column.group} {column.name}".strip()) for column in content.columns]
    rows = [[escape(cell) for cell in row] for row in content.rows]
    for position in content.strong:
        rows[position][0] = f"**{rows[position][0]}**"
    widths = [max(map(len, cells)) for cells in zip(names, *rows, ["---"] * len(names), strict=True)]
    rules = [
        "-" * width if column.text else "-" * (width - 1) + ":"
        for column, width in zip(content.columns, widths, strict=True)
    ]
    pads = [str.ljust if column.text else str.rjust for column in content.columns]
    lines = [
        [pad(cell, width) for pad, cell, width in zip(pads, cells, widths, strict=True)]
        for cells in (names, rules, *rows)
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def escape(text: str) -> str:
    r"""Return text that Markdown shows as it is.

    >>> escape("a_b | <c>")
    'a\\_b \\| \\<c\\>'
    """
    return SPECIAL.sub(r"\\\1", printable(" ".join(text.split())))


def render_html(title: str, text: str, chapters: Sequence[tuple[str, str, Sequence[Section]]]) -> str:
    """Return one HTML page; a chapter is an anchor, a title and its sections."""
    folder = files(__package__) / "templates"
    style, script = ((folder / f"report.{kind}").read_text("utf8") for kind in ("css", "js"))
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    pages = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, finalize=printable_lines,
    )  # fmt: skip
    return pages.get_template("report.html.j2").render(
        title=title, text=text, chapters=chapters, policy=policy, style=style, script=script, groups=_groups, NONE=NONE
    )


def _groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Return the names above the columns, and how many columns each of them spans."""
    return [(name, len(list(members))) for name, members in groupby(columns, key=lambda column: column.group)]
