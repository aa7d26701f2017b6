"""What a report is made of, before it is Markdown or HTML: sections of texts, tables and charts."""

from typing import NamedTuple

NONE = "—"


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
