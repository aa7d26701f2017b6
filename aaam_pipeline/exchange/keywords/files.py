"""Sidecars as files: read, replaced in one step under a lock, removed; whatever happens, each is old or new."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LOCK, PART = ".aaam-lock", ".aaam-part"
WAIT = 10.0
"""Seconds that another process has to finish one sidecar."""
# bytes of a name: what every usual file system takes
NAME_MAX = 255


class BusyError(OSError):
    """Another process writes the same sidecar all the time."""


def companion(path: Path, suffix: str) -> Path:
    """Return a hidden file beside a sidecar; a name that would be too long is shortened."""
    name = f".{path.name}{suffix}"
    if len(os.fsencode(name)) > NAME_MAX:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}{suffix}"
    return path.with_name(name)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a sidecar while the block runs, against other processes of this program.

    Raises:
        BusyError: another one holds it.
        OSError: its folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    place = companion(path, LOCK)
    lock = FileLock(place, timeout=WAIT)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(f"another process writes {path.name}; run the command again") from None
    try:
        yield
    finally:
        # while it is held: who waits for it sees that the file is another one by then
        with suppress(OSError):
            place.unlink()
        lock.release()


def read(path: Path) -> bytes | None:
    """Return what a file holds, None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def replace(path: Path, content: bytes, like: os.stat_result | None) -> None:
    """Write a file so that `path` holds either what it held before or all of `content`, whatever happens meanwhile.

    `like`: a file whose owner and permissions it gets.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    part = companion(path, PART)
    try:
        with part.open("wb") as stream:
            stream.write(content)
            if like is not None:
                with suppress(OSError, AttributeError):
                    os.fchown(stream.fileno(), like.st_uid, like.st_gid)
                with suppress(OSError):
                    # no use of an executable sidecar
                    part.chmod(like.st_mode & 0o666)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def clean(folder: Path, names: frozenset[str]) -> None:
    """Remove what a process that was killed has left in a folder, if no other holds it."""
    for name in {name.removesuffix(LOCK).removesuffix(PART) for name in names if name.endswith((LOCK, PART))}:
        with suppress(OSError, Timeout):
            lock = folder / f"{name}{LOCK}"
            with FileLock(lock, timeout=0):
                (folder / f"{name}{PART}").unlink(missing_ok=True)
                lock.unlink(missing_ok=True)
