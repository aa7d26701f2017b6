"""DuckDB files: how they are attached, and what an error of DuckDB means.

A file is attached by its absolute path and as DuckDB's own kind: `s3:x`, `sqlite:x`, `md:x`, `~x` and `:memory:` are
something else to it, and a file may begin like one of another database. It is written as the oldest DuckDB that this
program runs with (pyproject.toml) writes it, so that every installation reads what another one wrote.
"""

import re
from collections.abc import Callable
from pathlib import Path

import duckdb

from aaam_pipeline.core.errors import AaamError, IntegrityError, VersionError

STORAGE_VERSION = "v1.4.0"
# in what DuckDB says: the disk is full, or a limit of the file system or of the user is reached
FULL = re.compile(
    r"No space left|not enough space|Disk quota|File too large|max_temp_directory_size|failed to offload", re.IGNORECASE
)
NEWER = re.compile(r"newer version of DuckDB|can only read versions|newer DuckDB version", re.IGNORECASE)
LOCKED = re.compile(r"Could not set lock|being used by another process", re.IGNORECASE)
FORBIDDEN = re.compile(r"Permission denied|Access is denied|Operation not permitted", re.IGNORECASE)
DAMAGED = re.compile(
    r"corrupt|checksum|not a valid DuckDB|not enough bytes|read enough bytes|deserializ", re.IGNORECASE
)
# a table or a column is not there, or holds what it cannot hold
OTHER_TABLES = (duckdb.BinderException, duckdb.CatalogException)


def attach(database: duckdb.DuckDBPyConnection, path: Path, name: str, *, read_only: bool = False) -> None:
    """Attach a file under a name, a new one in the storage version that all installations read."""
    location = str(path.absolute()).replace("'", "''")
    option = "READ_ONLY" if read_only else f"STORAGE_VERSION '{STORAGE_VERSION}'"
    database.execute(f"ATTACH '{location}' AS {name} (TYPE duckdb, {option})")


def explained(error: duckdb.Error, path: Path, remedy: str, changed: Callable[[], bool] = lambda: False) -> AaamError:
    """Return what an error of DuckDB on a file means, in one line.

    `remedy`: how the file is made again ("build the index again"); `changed`: whether the file is another one than was
    written, asked where DuckDB's word alone does not tell damage from anything else.
    """
    text = str(error).splitlines()[0]
    if FULL.search(str(error)):
        return AaamError(f"no room to write {path}: the disk is full, or a limit is reached ({text})")
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        return AaamError(f"not enough memory for {path}: {text}")
    if LOCKED.search(text):
        holder = re.search(r"PID (\d+)", text)
        by = f" (process {holder[1]})" if holder else ""
        # of several files that are attached, the one that DuckDB names
        named = re.search(r'on file "([^"]+)"', text)
        return AaamError(f"{named[1] if named else path} is open in another program{by}; close it there and try again")
    if FORBIDDEN.search(text):
        return AaamError(f"{path}: no permission ({text})")
    if changed():
        return IntegrityError(f"{path} is damaged: {text}; {remedy}")
    if NEWER.search(str(error)):
        return VersionError(
            f"{path} was made by a newer DuckDB than {duckdb.__version__}, which is installed; update aaam-pipe and "
            f"duckdb, or {remedy}"
        )
    if DAMAGED.search(text) or isinstance(error, OTHER_TABLES):
        return IntegrityError(f"{path} is damaged: {text}; {remedy}")
    return AaamError(f"{path} cannot be read: {text}")
