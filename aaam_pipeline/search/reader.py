"""The files of an index, opened for reading: the manifest, the tables of DuckDB, the vectors of FAISS."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

import duckdb
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats import ranking
from aaam_pipeline.formats.database import explained
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.manifest import DIGEST
from aaam_pipeline.index.taught_codes import TaughtCodes
from aaam_pipeline.search.cursors import Cursors

if TYPE_CHECKING:
    from aaam_pipeline.index.vectors import Vectors

log = logging.getLogger(__name__)

# by version: the table of an older index, with the columns of one of today
VIEWS = {
    4: f"""CREATE TEMP VIEW images AS SELECT *, taken AS captured_at, NULL::VARCHAR AS phash,
NULL::VARCHAR AS link_target, NULL::BOOLEAN AS unfamiliar, {DIGEST} AS digest FROM index.images""",
    5: f"CREATE TEMP VIEW images AS SELECT *, NULL::BOOLEAN AS unfamiliar, {DIGEST} AS digest FROM index.images",
    6: f"CREATE TEMP VIEW images AS SELECT *, {DIGEST} AS digest FROM index.images",
}


def as_codes(stored_N: NDArray[Any]) -> NDArray[np.uint16]:
    """Return values of a column of scores as codes: an index of version 4 has bytes."""
    return ranking.FROM_BYTES.take(stored_N) if stored_N.dtype == np.uint8 else np.asarray(stored_N, np.uint16)


class IndexReader:
    """The files of one build: they are held open, and stay readable while the index is rebuilt.

    Any number of threads may use one at once, and so may a child that is forked.
    """

    def __init__(self, folder: Path, *, use_gpu: bool = False) -> None:
        """Open the index in `folder`; `use_gpu`: as `Vectors` says.

        Raises:
            UsageError: `folder` is no index.
            VersionError: another version of this program, or of DuckDB, is needed to read it.
            IntegrityError: it is damaged.
            AaamError: it cannot be read: another program has it open, or there is no permission.
        """
        self.folder = folder
        self.manifest = manifests.read(folder)
        log.info("%s: %d images, %d labels", folder, self.manifest.images, len(self.manifest.labels))
        self.taught = TaughtCodes(folder, self.manifest)
        """The columns of the words that a person taught."""
        self._use_gpu = use_gpu
        self._vectors: Vectors | None = None
        self._vectors_lock = Lock()
        # held open, so that vectors first needed after a rebuild are still those of this index
        self._vectors_file = (folder / manifests.VECTORS).open("rb")
        try:
            with self._database_errors():
                views = VIEWS.get(self.manifest.schema_version, "")
                self._cursors = Cursors((folder / manifests.SCORES).open("rb"), self.manifest.images, views)
        except BaseException:
            self._vectors_file.close()
            raise
        OPEN.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; what other threads ask from then on is a UsageError."""
        self._cursors.close()
        with self._vectors_lock:
            self._vectors_file.close()

    @property
    def vectors(self) -> "Vectors":
        """The FAISS half, opened when first needed.

        Raises:
            UsageError: the index was closed.
            IntegrityError: the vectors are damaged.
        """
        with self._vectors_lock:
            if self._vectors_file.closed:
                raise UsageError(f"the index {self.folder} is closed; open it again")
            if self._vectors is None:
                # faiss is a third of the time that a keyword query takes as a process
                from aaam_pipeline.index.vectors import Vectors

                self._vectors = Vectors(self._vectors_file, self.manifest, use_gpu=self._use_gpu)
            return self._vectors

    def select(self, statement: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT over the tables of `index.scores`.

        Raises:
            UsageError: the index was closed.
            IntegrityError: the database is damaged.
            AaamError: it cannot be read.
        """
        with self._executed(statement, values) as found:
            return found.fetchall()

    def select_columns(self, statement: str, values: list[Any] | None = None) -> dict[str, NDArray[Any]]:
        """Return the columns of a SELECT that reads whole tables, by their names; raises what `select` raises."""
        with self._executed(statement, values) as found:
            return found.fetchnumpy()

    def after_fork(self) -> None:
        """Make this usable in a child that was just forked, whatever the parent's other threads were doing."""
        self._vectors_lock = Lock()
        self._cursors.after_fork()
        if self._vectors is not None:
            self._vectors.after_fork()

    @contextmanager
    def _executed(self, statement: str, values: list[Any] | None) -> Iterator[duckdb.DuckDBPyConnection]:
        started = time.perf_counter()
        try:
            with self._database_errors(), self._cursors.cursor() as cursor:
                yield cursor.execute(statement, values)
        finally:
            log.debug("%.1f ms: %s", 1000 * (time.perf_counter() - started), statement)

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            path = self.folder / manifests.SCORES

            def changed() -> bool:
                return file_sha256(path) != self.manifest.sha256[manifests.SCORES]

            raise explained(error, path, manifests.rebuilding(self.folder), changed) from None


OPEN: WeakSet[IndexReader] = WeakSet()


def _after_fork() -> None:
    for reader in list(OPEN):
        reader.after_fork()


# Windows has no fork
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
