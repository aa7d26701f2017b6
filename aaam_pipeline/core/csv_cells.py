"""Cells of CSV files that no spreadsheet runs as a formula.

Excel, LibreOffice and Google Sheets compute a cell that begins with =, +, -, @, a tab or a line break, whatever it came
from: a label or a file's name could then read other cells and call programs. As OWASP advises ("CSV Injection") such a
text gets an apostrophe in front, which says "text" to them. Numbers stay.
"""

import re
from collections.abc import Iterable
from typing import Any

# the full-width forms are read like the plain ones
FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")


def to_cells(row: Iterable[Any]) -> list[Any]:
    """Return the values of a row as they may be written."""
    return [f"'{value}" if isinstance(value, str) and _is_run(value) else value for value in row]


def from_cell(cell: str) -> str:
    """Return the text that `to_cells` made a cell of."""
    return cell[1:] if cell.startswith("'") and _is_run(cell) else cell


def _is_run(text: str) -> bool:
    return FORMULA.match(text) is not None and not NUMBER.fullmatch(text)
