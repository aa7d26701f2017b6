"""How long-running work tells what it is doing, without knowing who shows it (`cli/render.py` does)."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Reporter(Protocol):
    """Shows progress to a person, or to a log."""

    def task(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """Open a bar of `total` steps; the yielded function is called with how many were just finished."""

    def say(self, text: str) -> None:
        """Show one line and keep it."""


class NullReporter:
    """Shows nothing: for tests and for use as a library."""

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        """Accept steps and forget them."""
        yield lambda count: None

    def say(self, text: str) -> None:
        """Forget the line."""
