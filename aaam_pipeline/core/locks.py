"""One process at a time on one output; the next one is told which process holds it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import UsageError


@contextmanager
def exclusive(folder: Path, *, wait: float = 0.3, option: str = "--out") -> Iterator[None]:
    """Hold an output folder, or a file, while the block runs, by a lock file beside it.

    The system gives the lock back when its process ends, however it ends: a stale file locks nobody out. `wait`:
    seconds that another process has to let it go; `option`: what names the output on the command line.

    Raises:
        UsageError: another process holds it, its parent cannot be written to, or its name is not UTF-8, which the
            libraries that write it cannot have.
    """
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{path_text(folder)}: no name in UTF-8; choose another {option}") from None
    # the folder that is written, whatever link or `..` it is named by
    target = folder.resolve()
    path = target.with_name(f".{target.name}.lock")
    # not 0: a file that its last holder has just removed is looked for again
    lock = FileLock(path, timeout=wait)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        if not path.exists():
            # file systems that refuse a new file with "no such file" look as if someone had just removed it
            fault = "no file can be made there"
            raise UsageError(f"cannot write to {folder.parent}: {fault}; choose another {option}") from None
        raise UsageError(f"{folder} is being written by another process{_holder(path)}; wait for it") from None
    except OSError as error:
        raise UsageError(f"cannot write to {folder.parent}: {error.strerror}; choose another {option}") from None
    try:
        # where the file system knows no locks, the file's own content is the lock
        if not isinstance(lock, SoftFileLock):
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}))
        yield
    finally:
        # while it is still held: who waits for it sees that the file is another one by then
        with suppress(OSError):
            path.unlink()
        lock.release()


def held_by_another(folder: Path) -> str:
    """Return in words which other process writes an output folder, "" where none does; nothing is held or made."""
    target = folder.resolve()
    path = target.with_name(f".{target.name}.lock")
    if not path.exists():
        return ""
    lock = FileLock(path, timeout=0)
    try:
        with lock:
            return ""
    except Timeout:
        return f"{folder} is being written by another process{_holder(path)}"
    except OSError:
        return ""


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f" (process {holder['pid']} on {holder['host']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
