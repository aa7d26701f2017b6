"""Text that a spreadsheet would compute is text; all else is written as it is."""

import csv
from pathlib import Path

import pytest

from aaam_pipeline.core.artifacts import write_csv
from aaam_pipeline.core.csv_cells import from_cell, to_cells

RUN = [
    "=1+1",
    "+cmd",
    "-x",
    "@SUM(A1)",
    "\tx",
    "\r=x",
    "\n=x",
    "＝1",
    "-",
    '=HYPERLINK("http://x")',
    "-1+cmd|' /C calc'!A0",
]
PLAIN = ["", "a=b", "dog", "'", "'dog'", " =x", "-1", "+0.5", "-1e-05", "2-3"]


@pytest.mark.parametrize("text", RUN)
def test_what_would_be_run_has_an_apostrophe_and_comes_back(text: str) -> None:
    for times in range(3):
        written = "'" * times + text
        assert to_cells([written]) == ["'" + written]
        assert from_cell("'" + written) == written


@pytest.mark.parametrize("text", PLAIN)
def test_all_else_stays(text: str) -> None:
    assert to_cells([text, -0.5, None]) == [text, -0.5, None]
    assert from_cell(text) == text


def test_tables_are_written_so(tmp_path: Path) -> None:
    write_csv(tmp_path / "table.csv", [["label", "score"], ["=1+1", -0.25], ["dog", 1]])
    with (tmp_path / "table.csv").open(newline="") as stream:
        assert list(csv.reader(stream)) == [["label", "score"], ["'=1+1", "-0.25"], ["dog", "1"]]
