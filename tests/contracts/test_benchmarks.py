"""What `make bench` promises: rows as they are measured, an end in 15 minutes, and a page for every table."""

from pathlib import Path

import pytest

import benchmarks.__main__ as program
from benchmarks.table import Report


def test_make_bench_takes_less_than_15_minutes_by_its_own_estimate() -> None:
    assert sum(program.SUITES[name].MINUTES[0] for name in program.DEFAULT) < 15


def test_a_row_is_printed_when_it_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    first, second = report.table("One", ["a", "b"]), report.table("Two", ["c"])
    assert not capsys.readouterr().out
    first(["1", "2"])
    assert capsys.readouterr().out == "\n### One\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    first(["3", "4"])
    assert capsys.readouterr().out == "| 3 | 4 |\n"
    second(["5"])
    report.note("A remark.")
    table = "### One\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
    assert report.markdown() == f"{table}\n\n### Two\n\n| c |\n| --- |\n| 5 |\n\nA remark."


def test_every_benchmark_has_one_place_in_the_reports() -> None:
    pages = [page.read_text() for page in program.PAGES.glob("*.md")]
    for name in program.SUITES:
        assert sum(text.count(f"<!-- benchmark: {name} -->") for text in pages) == 1, name
        assert sum(text.count(f"<!-- end: {name} -->") for text in pages) == 1, name


def test_written_tables_replace_those_between_the_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "reports" / "benchmarks.md"
    page.parent.mkdir()
    page.write_text("before\n<!-- benchmark: decode -->\nold\n<!-- end: decode -->\nafter\n")
    monkeypatch.setattr(program, "PAGES", page.parent)
    monkeypatch.setitem(program.SUITES, "decode", Fake)
    program.main(["decode"], write=True)
    text = page.read_text()
    assert text.startswith("before\n<!-- benchmark: decode -->\n\n20")
    assert "`python -m benchmarks decode`" in text
    assert text.endswith("| x |\n| --- |\n| 1 |\n\n<!-- end: decode -->\nafter\n")
    assert "old" not in text


class Fake:
    """A benchmark that measures nothing."""

    MINUTES = (0.1, 0.1)

    @staticmethod
    def run(report: Report, full: bool) -> None:
        assert not full
        report.table("T", ["x"])(["1"])
