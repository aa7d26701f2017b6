"""How long-running work reports what it is doing, without knowing what shows it (`cli/render.py` does)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Reports that `count` steps are finished, and how many of them failed."""

    def __call__(self, count: int, failed: int = 0) -> None:
        """Move the bar on."""


class Reporter(Protocol):
    """Shows progress to a person, or to a log."""

    def task(self, title: str, total: int, done: int = 0) -> AbstractContextManager[Advance]:
        """Open a bar of `total` steps, `done` of them in an earlier run; the yielded function moves it on."""

    def info(self, text: str) -> None:
        """Show one line and keep it."""


def ignore(count: int, failed: int = 0) -> None:
    """Be told of steps, and forget them."""


class NullReporter:
    """Shows nothing: for tests and for use as a library."""

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        """Accept steps and forget them."""
        yield ignore

    def info(self, text: str) -> None:
        """Forget the line."""
