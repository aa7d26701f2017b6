"""The ledger of decisions, written: lines are added at its end and never changed.

What `append` has returned from is on disk, whatever becomes of the process or the machine then. A process that is
killed while it writes leaves whole lines and at most one that is cut off; the next writer moves that one to
`NAME.cut`, beside the ledger. Where a write fails, as on a full disk, the ledger is as it was before.
"""

import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from aaam_pipeline.core.artifacts import path_text, write_bytes
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.formats.decision_lines import (
    BEGINNING,
    BOM,
    CONFLICT_MARK,
    Decision,
    Inheritance,
    blocks,
    decode,
    encode,
)

log = logging.getLogger(__name__)

Entry = TypeVar("Entry", Decision, Inheritance, Decision | Inheritance)
WAIT = 10.0
"""Seconds that another writer has to finish."""
CHUNK = 1 << 20
# the longest line that a look for the start of the last one takes at once
TAIL = 1 << 16


def new_batch() -> str:
    """Return what all lines of one command have in common, and no others have."""
    return secrets.token_hex(6)


def now() -> str:
    """Return the time as lines have it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamped(entries: Iterable[Entry], batch: str = "") -> Iterator[Entry]:
    """Yield decisions, those without `at` and `batch` with the time, and one batch for all."""
    at, batch = now(), batch or new_batch()
    for entry in entries:
        if entry.at and entry.batch:
            yield entry
        else:
            yield msgspec.structs.replace(entry, at=entry.at or at, batch=entry.batch or batch)


def check_is_ledger(path: Path) -> None:
    """Check that a file is a ledger, a damaged or an empty one included: nothing else may be added to.

    Raises:
        UsageError: it is another file, as a photograph or a table that was named by mistake.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(TAIL).removeprefix(BOM).lstrip(b"\0\r\n\t ")
    except FileNotFoundError:
        return
    begins = start[: len(BEGINNING)] == BEGINNING[: len(start)]
    if not (begins or CONFLICT_MARK.match(start) or decode(start).lines):
        raise UsageError(f"{path_text(path)} is no ledger of decisions, and stays as it is; name another file")


class Ledger:
    """A ledger of decisions as a file that may not be there yet; `formats.decisions.read` reads it.

    What one `Ledger` adds is one batch, which `decisions undo` takes back as a whole: one for each command.
    """

    def __init__(self, path: Path, *, wait: float = WAIT) -> None:
        """Name the file; `wait`: seconds that another writer has to finish."""
        self.path = path
        self._wait, self._batch = wait, new_batch()

    def append(self, entries: Iterable[Decision | Inheritance]) -> int:
        """Add decisions, `stamped`, all or none, and wait until they are on disk; return how many there were.

        They are asked for while no other process writes: what reads the ledger to make them misses nothing.

        Raises:
            UsageError: another process writes the ledger all the time, its folder cannot be written to, or the file is
                another one than a ledger.
            OSError: it cannot be written; it is as it was.
        """
        with exclusive(self.path, wait=self._wait, option="--decisions"):
            check_is_ledger(self.path)
            lines = map(encode, stamped(entries, self._batch))
            first = next(lines, None)
            # nothing to say leaves no file
            if first is None:
                return 0
            is_new = not self.path.exists()
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            try:
                end = self._repaired_end(handle)
                try:
                    count = _write_all(handle, end, first, lines)
                    os.fsync(handle)
                except BaseException as error:
                    os.ftruncate(handle, end)
                    if isinstance(error, OSError) and error.filename is None:
                        # an error of a handle does not say which file it is
                        error.filename = str(self.path)
                    if is_new:
                        with suppress(OSError):
                            self.path.resolve().unlink()
                    raise
            finally:
                os.close(handle)
            if is_new:
                _sync_folder(self.path.resolve().parent)
        log.info("%s: %d lines added", self.path, count)
        return count

    def rewrite(self, make: Callable[[bytes], bytes]) -> tuple[bytes, bytes]:
        """Replace all lines by what `make` makes of them, atomically: for merges; return both.

        What was there before is kept as NAME.before. No other writer comes between.

        Raises:
            UsageError, OSError: as `append`.
        """
        with exclusive(self.path, wait=self._wait, option="--decisions"):
            check_is_ledger(self.path)
            target = self.path.resolve()
            before = target.read_bytes() if target.exists() else b""
            after = make(before)
            if after != before:
                if before:
                    write_bytes(_beside(target, "before"), before)
                write_bytes(target, after)
                _sync_folder(target.parent)
        return before, after

    def repair(self) -> int:
        """Move lines that cannot be read to NAME.cut; return how many. The others stay as they are, in their order.

        Raises:
            UsageError, OSError: as `append`.
        """
        with exclusive(self.path, wait=self._wait, option="--decisions"):
            check_is_ledger(self.path)
            target = self.path.resolve()
            content = target.read_bytes()
            faults = {fault.line for block in blocks(target) for fault in block.faults}
            lines = content.split(b"\n")
            if faults:
                _keep(target, b"\n".join(lines[number - 1] for number in sorted(faults)))
                sound = [line for number, line in enumerate(lines, 1) if number not in faults and line.strip()]
                write_bytes(target, b"".join(line + b"\n" for line in sound))
                _sync_folder(target.parent)
            return len(faults)

    def _repaired_end(self, handle: int) -> int:
        """Return where new lines begin; a last line that was cut off is moved away, one that lacks its end gets it."""
        size = os.lseek(handle, 0, os.SEEK_END)
        tail = _last_line(handle, size)
        if not tail:
            return size
        if decode(tail, last=True).lines:
            _write(handle, size, b"\n")
            return size + 1
        _keep(self.path.resolve(), tail)
        os.ftruncate(handle, size - len(tail))
        log.warning("%s: its last line was cut off and is moved to a file beside it", self.path)
        return size - len(tail)


def _write_all(handle: int, end: int, first: bytes, lines: Iterator[bytes]) -> int:
    """Write lines from `end` on; return how many."""
    count, size, waiting = 1, len(first), [first]
    for line in lines:
        waiting.append(line)
        count, size = count + 1, size + len(line)
        if size >= CHUNK:
            end = _write(handle, end, b"".join(waiting))
            size, waiting = 0, []
    _write(handle, end, b"".join(waiting))
    return count


def _write(handle: int, start: int, content: bytes) -> int:
    """Write content at a place of a file; return where it ends."""
    os.lseek(handle, start, os.SEEK_SET)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
    return start + len(content)


def _last_line(handle: int, size: int) -> bytes:
    """Return what follows the last line break."""
    tail, start = b"", size
    while start and b"\n" not in tail:
        step = min(start, TAIL)
        start -= step
        os.lseek(handle, start, os.SEEK_SET)
        tail = os.read(handle, step) + tail
    return tail.rpartition(b"\n")[2]


def _keep(ledger: Path, lines: bytes) -> None:
    """Add what cannot be read to NAME.cut, beside the ledger."""
    with _beside(ledger, "cut").open("ab") as stream:
        stream.write(lines + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}.{suffix}")


def _sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk; Windows, which has no handles of folders, does so by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
