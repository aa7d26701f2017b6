"""Rows of CSV text; a quotation mark that nothing closes is an error, and no silent end of the table.

Python's reader and pyarrow's take all that follows such a mark as one cell.
"""

import csv
from collections.abc import Iterable, Iterator
from itertools import chain

END = "\x03end"
"""A row of its own behind the last line, unless that one is inside quotes."""
UNCLOSED = "a cell begins with a quotation mark that nothing closes"


def read(lines: Iterable[str], delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row, with the number of the line that it ends in; the first line has the number 1.

    Raises:
        csv.Error: it is no CSV; or a quotation mark is not closed, which is known at the end.
    """
    rows = csv.reader(chain(lines, [END]), delimiter=delimiter)
    before: tuple[int, list[str]] = 0, []
    for cells in rows:
        if before[0]:
            yield before
        before = rows.line_num, cells
    if before[1] != [END]:
        raise csv.Error(UNCLOSED)
