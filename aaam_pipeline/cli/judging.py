"""A person judges photographs in the terminal, a key a picture."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.text import counted

if TYPE_CHECKING:
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.curation.judging import JudgingSession, Question
    from aaam_pipeline.search import Hit

KEYS = "y yes, n no, s skip, u undo, q finish"


def ask(session: "JudgingSession", report: "Reporter", way: "Callable[[JudgingSession, Reporter], None]") -> None:
    """Ask until nothing is missing, the budget is spent, or the person has enough; Ctrl-C is such an end.

    Raises:
        UsageError: what asks cannot.
        AaamError, OSError: an answer cannot be written into the ledger.
    """
    if next(session.questions(), None) is None:
        return
    announce(session, report)
    with suppress(KeyboardInterrupt):
        way(session, report)
    report.info(f"{counted(session.written, 'answer')} written into the ledger")


def announce(session: "JudgingSession", report: "Reporter") -> None:
    """Say about how many answers are asked for."""
    wanted = [each.label for each in session.batch()]
    words = ", ".join(f"{label} {wanted.count(label)}" for label in dict.fromkeys(wanted)) or "nothing"
    report.info(f"about so many answers are asked for: {words}")


def hit_of(question: "Question") -> "Hit":
    """Return what shows a photograph."""
    from aaam_pipeline.search import Hit

    return Hit(question.place.path, question.place.root, question.score, [question.label], {})


def in_terminal(session: "JudgingSession", report: "Reporter") -> None:
    """Ask in the terminal, with pictures where it can show them; standard input may also be a file of answers."""
    from aaam_pipeline.cli import preview

    show = preview.chosen(sys.stdout.isatty())
    if isinstance(show, str):
        report.info(f"no pictures here, only names: {show}")
    report.info(f"does the photograph show the word? {KEYS}")
    while (question := next(session.questions(), None)) is not None:
        if not isinstance(show, str):
            print(preview.picture(hit_of(question), show))
        print(printable(f"{hit_of(question).location}: {question.label}? "), end="", file=sys.stderr, flush=True)
        key = _key()
        print(printable(key), file=sys.stderr)
        match key:
            case "y" | "n":
                session.answer((question, key == "y"))
            case "s":
                session.skip(question)
            case "u":
                session.undo()
            case "q" | "":
                return
            case _:
                report.info(KEYS)


def _key() -> str:
    """Return the key that is pressed, of a line its first letter; "" where there is nobody any more."""
    try:
        if sys.stdin.isatty():
            return typer.getchar().lower()
        line = sys.stdin.readline()
        return line.strip()[:1].lower() or ("" if not line else " ")
    except (EOFError, OSError):
        return ""
