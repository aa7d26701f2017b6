"""How far long work has come, in a file that outlives it: a JSON line for what work it is, then one for each step.

Not all that resumes needs one. Where a result marks itself as done, or several processes work at once, there is none:
parts of annotations (their stats), compared methods (their metrics), phases of the ablation and unpacked archives
(a mark each), a file that is being downloaded (its length), photographs that are gone (a table that people read).
"""

import logging
import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from aaam_pipeline.core.artifacts import write_bytes

log = logging.getLogger(__name__)

Entry = TypeVar("Entry")


class Journal(Generic[Entry]):
    """The steps that are done, and on disk. Whoever uses it holds the lock of the work's output."""

    def __init__(self, path: Path, entries: list[Entry]) -> None:
        """Continue the file `path`, which holds `entries`; see `begin` and `resume`."""
        self.path = path
        self.entries = entries

    @classmethod
    def begin(cls, path: Path, identity: str) -> "Journal[Entry]":
        """Start the journal of the work that `identity` stands for, replacing any other."""
        write_bytes(path, msgspec.json.encode(identity) + b"\n")
        return cls(path, [])

    @classmethod
    def resume(cls, path: Path, identity: str, kind: type[Entry]) -> "Journal[Entry] | None":
        """Return the journal of the same work; None if there is none, it is damaged, or of other work."""
        try:
            # what follows the last newline was cut off by the end of its run
            head, *lines = path.read_bytes().split(b"\n")[:-1]
            entries = [msgspec.json.decode(line, type=kind) for line in lines]
            if msgspec.json.decode(head) != identity:
                log.info("%s is of other work, which is done anew", path)
                return None
        except (FileNotFoundError, ValueError):
            return None
        # the next entry must begin a line
        write_bytes(path, b"".join(line + b"\n" for line in (head, *lines)))
        log.info("%s: %d steps of an earlier run are kept", path, len(entries))
        return cls(path, entries)

    def append(self, entry: Entry) -> None:
        """Write down a step that is on disk already, and wait until the line is, too."""
        with self.path.open("ab") as stream:
            stream.write(msgspec.json.encode(entry) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.entries.append(entry)

    def close(self) -> None:
        """Remove the file: the work is published."""
        self.path.unlink()
