"""What a format gets: where to write, and what of the labels. A format is a function of one, a context manager.

It yields the function that takes a row, and completes its files when it ends without an error.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from aaam_pipeline.exchange.exporters.pictures import Pictures
from aaam_pipeline.exchange.exporters.rows import ExportRow

WITHOUT_LABEL = "without a label"
Add = Callable[[ExportRow], bool]
"""Takes a row; returns whether its photograph has a place in what is written."""


@dataclass(frozen=True)
class ExportTarget:
    """`path`: the file or the folder to fill; `labels`: those that may occur, in order; `splits`: none, or their names.

    `scores`: whether the scores of all labels are wanted; `facts`: of the annotations, for formats that say where they
    are from; `shard_size`: photographs of a file of several. `dropped` counts photographs that have no place in a
    format.
    """

    path: Path
    labels: Sequence[str]
    pictures: Pictures
    splits: Sequence[str] = ()
    scores: bool = False
    shard_size: int = 10_000
    facts: dict[str, Any] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, why: str) -> bool:
        """Count a photograph that is left out; return False."""
        self.dropped[why] = self.dropped.get(why, 0) + 1
        return False


class ExportFormat(NamedTuple):
    """A format: its name, what it is, the suffix of its file ("": it is a folder), and what it has.

    `holds_pictures`: links or copies of the photographs; `only_copies`: copies alone; `has_splits`: files, folders or a
    column of them; `needs_label`: photographs without one are left out; `flat`: all photographs are in one folder.
    """

    name: str
    described: str
    open: Callable[[ExportTarget], AbstractContextManager[Add]]
    suffix: str = ""
    holds_pictures: bool = False
    only_copies: bool = False
    has_splits: bool = True
    needs_label: bool = False
    flat: bool = False


def record(row: ExportRow, target: ExportTarget) -> dict[str, Any]:
    """Return all that is known of a photograph, for formats that hold objects."""
    return {
        "path": row.path,
        "root": row.root,
        "sha256": row.sha256,
        "width": row.width,
        "height": row.height,
        "captured_at": row.captured_at,
        "unfamiliar": row.unfamiliar,
        **({"split": row.split} if target.splits else {}),
        "labels": [each.label for each in row.labels],
        "label_facts": [each.facts() for each in row.labels],
        "denied": [each.facts() for each in row.denied],
        **({} if row.scores is None else {"scores": row.scores}),
    }


def json_text(content: Any) -> bytes:
    """Return JSON in one line; numbers as short as they are exact."""
    return msgspec.json.encode(content)


@contextmanager
def json_list(stream: IO[bytes], before: bytes, after: bytes) -> Iterator[Callable[[bytes], None]]:
    """Write items, a line each, between two texts, with commas."""
    stream.write(before)
    separator = b"\n"

    def add(item: bytes) -> None:
        nonlocal separator
        stream.write(separator + item)
        separator = b",\n"

    yield add
    stream.write(b"\n" + after)


def names_of_splits(target: ExportTarget) -> Sequence[str]:
    """Return the folders or beginnings of names that photographs are divided in: "" where they are not."""
    return target.splits or ("",)
