"""Files that are whole or not there: atomic writes, folders published by one rename, manifests, fingerprints."""

import csv
import ctypes
import errno
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from aaam_pipeline.core.csv_cells import to_cells
from aaam_pipeline.core.errors import IntegrityError, UsageError, VersionError

Manifest = TypeVar("Manifest")
PARTIAL = ".partial"
PACKAGE = Path(__file__).parents[1]
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f]|5c)")
_LIKE_ESCAPE = re.compile(rb"\\(?=x(?:[89a-f][0-9a-f]|5c))")


def fingerprint(content: Any) -> str:
    """Return the SHA-256 of JSON-able content, equal for equal content whatever the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sources_fingerprint(paths: Iterable[Path | str]) -> str:
    """Return the SHA-256 of Python sources, files and all below folders: resumed work must come from the same code.

    A path that is not absolute is one in this package.
    """
    found = [PACKAGE / path for path in paths]
    files = sorted(file for path in found for file in (path.rglob("*.py") if path.is_dir() else (path,)))
    return fingerprint([[path.name, file_sha256(path)] for path in files])


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that `path` holds either what it held before or all of `content`, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        # on a full disk it would keep the little room that is left
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Any) -> None:
    """Write content (structs allowed) as indented JSON, atomically."""
    write_bytes(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows, the names of the columns first, as CSV with line feeds, atomically; formulas are text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(to_cells, rows))
    write_bytes(path, text.getvalue().encode())


def write_checksummed(path: Path, content: Manifest) -> Manifest:
    """Write a struct as JSON, its field `hash` being that of all others, atomically; return it with the hash."""
    checksummed: Manifest = msgspec.structs.replace(content, hash=_checksum(content))  # type: ignore[type-var]
    # as it will be read: the hash is then that of the file's own text, also for who does not know all of its fields
    write_json(path, as_read(checksummed))
    return checksummed


def read_checksummed(
    path: Path, kind: type[Manifest], what: str, outdated: Callable[[Manifest], str] = lambda content: ""
) -> Manifest:
    """Read what `write_checksummed` wrote; `what` names it in messages ("a model bundle").

    `outdated`: says in one line why content of another version cannot be used, or "" where it can.

    Raises:
        UsageError: the file is not there, so its folder is not `what`.
        VersionError: it is of another version of this program: `outdated`, or whole with fields that are not known.
        IntegrityError: it is damaged, or a value was changed since it was written: a digit of a threshold, for
            instance, would not be noticed otherwise.
    """
    content = read_json(path, kind, what)
    if problem := outdated(content):
        raise VersionError(problem)
    if content.hash != _checksum(content):  # type: ignore[attr-defined]
        text = path.read_bytes()
        if not _is_whole(text):
            raise IntegrityError(f"{path} was changed: its hash is not that of what it holds")
        # an older file lacks fields that have defaults; a newer one has fields that are not known
        if not _holds(msgspec.to_builtins(content), msgspec.json.decode(text)):
            raise VersionError(
                f"{path} was made by a newer version of aaam-pipe, with fields unknown here; update aaam-pipe"
            )
    return content


def _checksum(content: Any) -> str:
    # as it will be read: what is no number becomes null in JSON
    return fingerprint(msgspec.json.decode(msgspec.json.encode(as_read(msgspec.structs.replace(content, hash="")))))


def _is_whole(text: bytes) -> bool:
    """Return whether JSON is as `write_checksummed` wrote it, whatever its fields are."""
    try:
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return isinstance(content, dict) and content.get("hash") == fingerprint(content | {"hash": ""})


def _holds(known: Any, content: Any) -> bool:
    """Return whether every field of JSON objects, also inside others, is known."""
    if not isinstance(known, dict) or not isinstance(content, dict):
        return True
    return all(name in known and _holds(known[name], value) for name, value in content.items())


def as_read(content: Manifest) -> Manifest:
    """Return a struct as it comes back from a file: a whole number is a float where one is meant."""
    return msgspec.convert(msgspec.to_builtins(content), type(content))


def read_json(path: Path, kind: type[Manifest], what: str) -> Manifest:
    """Read and check a JSON file; `what` names it in messages ("a model bundle").

    Raises:
        UsageError: the file is not there, so its folder is not `what`.
        VersionError: it is whole, as its own hash shows, but has fields of a newer version of this program.
        IntegrityError: it is there and damaged, or of another schema.
    """
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if path.parent.exists():
            why = f"it has no {path.name}"
        elif path.parent.with_name(f"{path.parent.name}{PARTIAL}").exists():
            why = "what makes it has not finished; give that command again"
        else:
            why = "nothing is there"
        raise UsageError(f"{path.parent} is not {what}: {why}") from None
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if "unknown field" in str(error) and _is_whole(text):
            raise VersionError(f"{path} was made by a newer version of aaam-pipe ({error}); update aaam-pipe") from None
        raise IntegrityError(f"{path} is damaged: {error}") from None


def absolute(path: Path) -> Path:
    """Return where a path leads, without `..`; symbolic links stay as they were named wherever that is possible."""
    return path.resolve() if ".." in path.parts else path.absolute()


def path_text(path: Path | str) -> str:
    r"""Return a path as text that any file can hold, another one for every path.

    Bytes that are not UTF-8 are written as \xNN; the backslash of a name that looks so by itself is written as \x5c.
    """
    return _LIKE_ESCAPE.sub(rb"\\x5c", os.fsencode(path)).decode("utf8", "backslashreplace")


def argument_text(argument: str) -> str:
    r"""Return a word of the command line as text that can be printed; bytes that are not UTF-8 are written as \xNN."""
    return argument.encode("utf8", "surrogateescape").decode("utf8", "backslashreplace")


def real_path(path: Path) -> Path:
    """Return the path on disk that `path_text` made text of."""
    if "\\x" not in str(path):
        return path
    real = Path(os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), os.fsencode(path))))
    # annotations of version 2 did not tell a backslash from an escape
    return path if not os.path.lexists(real) and os.path.lexists(path) else real


def work_folder(final: Path, *, resume: bool = False) -> Path:
    """Return the folder beside `final` in which it is built; emptied first unless `resume`.

    Raises:
        UsageError: its parent cannot be written to.
    """
    final = _target(final)
    work = final.parent / f"{final.name}{PARTIAL}"
    if final.exists() and not final.is_dir():
        raise UsageError(f"{final} is a file, not a folder; choose another --out")
    try:
        if work.exists() and not resume:
            shutil.rmtree(work)
        work.mkdir(parents=True, exist_ok=True)
        # mkdir is content with a folder that is there already, also with a read-only one
        probe = work / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"cannot write to {final.parent}: {error.strerror}; choose another --out") from None
    return work


def publish(work: Path, final: Path) -> None:
    """Replace `final` by the finished folder `work`; a reader sees the old one or the new one, never a mix."""
    sync(work)
    final = _target(final)
    if not final.exists():
        work.rename(final)
    elif _exchange(work, final):
        shutil.rmtree(work)
    else:
        old = final.with_name(f"{final.name}.replaced")
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
        try:
            work.rename(final)
        except OSError:
            old.rename(final)
            raise
        shutil.rmtree(old)


def foreign(folder: Path, *ours: str) -> list[str]:
    """Return what a folder holds of other names than `ours` (patterns): with any it must not be replaced."""
    harmless = (*ours, f".*{PARTIAL}", ".DS_Store")
    names = sorted(path_text(path.name) for path in folder.iterdir())
    return [name for name in names if not any(fnmatchcase(name, pattern) for pattern in harmless)]


def newest(folder: Path, patterns: Iterable[str], without: Collection[str] = ()) -> Path | None:
    """Return the parent of the most recently written match (`models/*/*/bundle.json`), or None.

    Work folders do not count, since what is in them may not be whole, nor folders named in `without`.
    """
    found = (match for pattern in patterns for match in folder.glob(pattern))
    names = ((match, match.parent.name) for match in found)
    matches = [match for match, name in names if not name.endswith(PARTIAL) and name not in without]
    return max(matches, key=lambda match: match.stat().st_mtime_ns).parent if matches else None


def _target(folder: Path) -> Path:
    """Return where a link leads, so that the folder behind it is replaced and the link stays."""
    return folder.resolve() if folder.is_symlink() else folder


def sync(folder: Path) -> None:
    """Flush a folder's files and names to disk, so that a power cut cannot publish names without their bytes."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step (Linux renameat2 with RENAME_EXCHANGE); False where the system has no such call.

    Raises:
        OSError: the call failed.
    """
    if not sys.platform.startswith("linux"):
        return False
    at_cwd, rename_exchange = -100, 2
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), rename_exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(code, os.strerror(code), str(other))
    return False
