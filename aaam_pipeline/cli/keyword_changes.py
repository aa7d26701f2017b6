"""What `aaam-pipe keywords` shows of the sidecars and photographs that it changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aaam_pipeline.cli.render import json_line, near
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.logging import printable

if TYPE_CHECKING:
    from aaam_pipeline.exchange.keywords.sidecars import Change
    from aaam_pipeline.exchange.keywords.writing import Summary

# changes and failures that are shown one by one; of more the number is said
MOST_SHOWN = 10
MOST_FAILED = 3


class ShownChanges:
    """Shows changes: all of them as JSON, examples of what would be, none of what is done."""

    def __init__(self, as_json: bool, dry_run: bool) -> None:
        """Show all changes as JSON, examples of a dry run, or nothing."""
        self.as_json, self.dry_run = as_json, dry_run
        self.examples = 0
        self.failed: list[str] = []
        self.too_late: list[tuple[Path, str]] = []

    def late(self, path: Path, why: str) -> None:
        """Take back that a photograph was changed: another program was quicker."""
        self.too_late.append((path, why))

    def count_late(self, summary: "Summary") -> None:
        """Count what was taken back as failures."""
        for path, why in self.too_late:
            summary.sidecars["embed"] -= 1
            summary.failures[why] += 1
            self.failure(path_text(path), why)

    def change(self, path: str, change: "Change") -> None:
        """Show what becomes of a sidecar or a photograph."""
        if self.as_json:
            words = {name: getattr(change, name) for name in ("added", "removed", "deleted", "adopted")}
            json_line({"path": path, "sidecar": path_text(change.sidecar), "action": change.action, **words})
        elif self.dry_run and self.examples < MOST_SHOWN:
            self.examples += 1
            print(printable(f"{path_text(near(change.sidecar))}  {change.action}  {' '.join(_signed(change))}"))

    def failure(self, path: str, why: str) -> None:
        """Show a photograph that failed; the first are kept for the end."""
        if self.as_json:
            json_line({"path": path, "action": "failed", "error": why})
        if len(self.failed) < MOST_FAILED:
            self.failed.append(f"{path}: {why}")


def _signed(change: "Change") -> Iterator[str]:
    for sign, words in (("+", change.added), ("-", change.removed), ("deleted by somebody: ", change.deleted)):
        yield from (f"{sign}{word}" if " " not in word else f'{sign}"{word}"' for word in words)
