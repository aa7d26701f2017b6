"""DuckDB's cursors on one file: for any number of threads, and for children that are forked.

A connection of DuckDB serves one thread at a time. A cursor is a connection of its own to the same database: every use
takes one and gives it back. What a forked child inherits of DuckDB cannot be used there, nor destroyed: its threads are
not there, and its locks may be held for ever. So the child leaves all of it alone and opens the file anew.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from threading import Lock

import duckdb

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.formats.database import attach

IMAGES_A_THREAD = 1_000_000
"""Images of an index for each thread of a statement: to wake another for fewer takes longer than their rows."""


class Cursors:
    """Cursors that see the tables of a file without naming it; all of one build, since the file is held open."""

    _lock: Lock
    _idle: list[duckdb.DuckDBPyConnection]
    _lent: int
    _database: duckdb.DuckDBPyConnection | None
    _closed: bool

    def __init__(self, file: BufferedReader, images: int, views: str = "") -> None:
        """Open a file of DuckDB that has tables of `images` rows; `views`: statements that every cursor runs first.

        Raises:
            duckdb.Error: it cannot be read.
        """
        self._file, self._images, self._views = file, images, views
        self._forget()
        try:
            with self.cursor():
                pass
        except duckdb.Error:
            self.close()
            raise

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a cursor; what it found must be fetched before it is given back.

        Raises:
            UsageError: the file was closed.
            duckdb.Error: it cannot be read.
        """
        cursor, whole = self._take(), False
        try:
            yield cursor
            whole = True
        finally:
            self._give_back(cursor, whole)

    def close(self) -> None:
        """Close the file; who holds a cursor may finish."""
        with self._lock:
            self._closed = True
            self._close_unless_lent()

    def after_fork(self) -> None:
        """Make this usable in a child that was just forked."""
        for each in (*self._idle, *filter(None, [self._database])):
            # to destroy it would crash: DuckDB joins threads that are the parent's
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))
        self._forget()

    def _forget(self) -> None:
        self._lock, self._idle, self._lent, self._database = Lock(), [], 0, None
        self._closed = self._file.closed

    def _take(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._closed:
                raise UsageError(f"the index {Path(self._file.name).parent} is closed; open it again")
            if self._idle:
                self._lent += 1
                return self._idle.pop()
            database = self._database = self._database or self._open()
            cursor = database.cursor()
            self._lent += 1
        try:
            # takes a millisecond, and is not inherited
            cursor.execute(f"USE index; {self._views}")
        except BaseException:
            self._give_back(cursor, whole=False)
            raise
        return cursor

    def _give_back(self, cursor: duckdb.DuckDBPyConnection, whole: bool) -> None:
        with self._lock:
            self._lent -= 1
            if whole:
                self._idle.append(cursor)
            else:
                # a statement may be half done
                cursor.close()
            if self._closed:
                self._close_unless_lent()

    def _close_unless_lent(self) -> None:
        # to close a database closes its cursors
        if not self._lent:
            for each in (*self._idle, *filter(None, [self._database])):
                each.close()
            self._idle, self._database = [], None
            self._file.close()

    def _open(self) -> duckdb.DuckDBPyConnection:
        # by its handle: the name may be that of another build meanwhile
        handle = f"/dev/fd/{self._file.fileno()}"
        path = Path(handle if Path(handle).exists() else self._file.name)
        threads = max(1, min(available_cores(), self._images // IMAGES_A_THREAD))
        # attached to a database of its own: connecting to the file would share one with another reader in this process
        database = duckdb.connect(":memory:", config={"threads": threads})
        try:
            attach(database, path, "index", read_only=True)
        except duckdb.Error:
            database.close()
            raise
        return database
