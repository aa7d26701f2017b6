"""A report as Markdown that is also good to read as plain text: columns are padded to one width."""

import re
from collections.abc import Sequence

from aaam_pipeline.evaluation.document import Chart, Column, Section, Table

SPECIAL = re.compile(r"([\\`*_\[\]<>|])")


def render(title: str, text: str, sections: Sequence[Section]) -> str:
    """Return a page; its charts are files beside it, `<name>.svg`."""
    parts = [f"# {escape(title)}", text]
    for section in sections:
        parts += [f"## {escape(section.title)}" if section.title else "", escape(section.text)]
        for item in section.items:
            shown = table(item) if isinstance(item, Table) else f"![{escape(item.title)}]({item.name}.svg)"
            parts += [f"{'###' if section.title else '##'} {escape(item.title)}", shown, escape(item.note)]
    return "\n\n".join(part for part in parts if part) + "\n"


def charts(sections: Sequence[Section]) -> dict[str, str]:
    """Return the files that a page needs beside it: name -> content."""
    return {f"{item.name}.svg": item.svg for each in sections for item in each.items if isinstance(item, Chart)}


def table(content: Table) -> str:
    """Return a table with aligned columns; groups are written into the names of their columns."""
    names = [escape(f"{column.group} {column.name}".strip()) for column in content.columns]
    rows = [[escape(cell) for cell in row] for row in content.rows]
    for position in content.strong:
        rows[position][0] = f"**{rows[position][0]}**"
    widths = [max(map(len, cells)) for cells in zip(names, *rows, ["---"] * len(names), strict=True)]
    rules = [_rule(column, width) for column, width in zip(content.columns, widths, strict=True)]
    lines = [_line(content.columns, cells, widths) for cells in (names, *rows)]
    return "\n".join([lines[0], f"| {' | '.join(rules)} |", *lines[1:]])


def escape(text: str) -> str:
    r"""Return text that Markdown shows as it is.

    >>> escape("a_b | <c>")
    'a\\_b \\| \\<c\\>'
    """
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _rule(column: Column, width: int) -> str:
    return "-" * width if column.text else "-" * (width - 1) + ":"


def _line(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if column.text else cell.rjust(width)
        for column, cell, width in zip(columns, cells, widths, strict=True)
    ]
    return f"| {' | '.join(padded)} |"
