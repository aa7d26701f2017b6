"""What a person sees of a long run on a terminal."""

import io
import sys

import pytest

from aaam_pipeline.cli.render import TerminalReporter, reporter


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_there_is_a_bar_with_what_failed_and_lines_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with reporter() as report:
        assert isinstance(report, TerminalReporter)
        with report.task("annotate", 40, done=10) as advance:
            advance(20)
            advance(10, failed=2)
            report._progress.refresh()
            report.info("a line")
    shown = terminal.getvalue()
    assert "a line" in shown
    assert "annotate" in shown
    assert "40/40" in shown
    assert "2 failed" in shown


def test_quiet_shows_nothing_even_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with reporter(quiet=True) as report, report.task("annotate", 4) as advance:
        advance(4)
        report.info("a line")
    assert terminal.getvalue() == ""
