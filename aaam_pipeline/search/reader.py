"""The files of an index, opened for reading: the manifest, the tables of DuckDB, the vectors of FAISS."""

import logging
import os
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.index import manifest as manifests

if TYPE_CHECKING:
    from aaam_pipeline.index.vectors import Vectors

log = logging.getLogger(__name__)


class IndexReader:
    """The files of one build: they are held open, and stay readable while the index is rebuilt."""

    def __init__(self, folder: Path, *, use_gpu: bool = False) -> None:
        """Open the index in `folder`; `use_gpu`: as `Vectors` says.

        Raises:
            UsageError: `folder` is no index.
            IntegrityError: it is damaged.
        """
        self.folder = folder
        self.manifest = manifests.read(folder)
        log.info("%s: %d images, %d labels", folder, self.manifest.images, len(self.manifest.vocabulary))
        self._use_gpu = use_gpu
        # held open, so that vectors first needed after a rebuild are still those of this index
        self._vectors_file = (folder / manifests.VECTORS).open("rb")
        # attached to a database of its own: connecting to the file would share one with an older reader in this process
        self._database = duckdb.connect(":memory:")
        path = str(folder / manifests.SCORES)
        try:
            self._database.execute("ATTACH '{}' AS index (READ_ONLY)".format(path.replace("'", "''")))
            self._database.execute("USE index")
            # a second thread must be woken for the metadata of 20 images: a fifth of the time that reading them takes
            self._database.execute("SET threads = 1")
        except duckdb.Error as error:
            self.close()
            raise IntegrityError(f"{path} is damaged: {str(error).splitlines()[0]}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._database.close()
        self._vectors_file.close()

    @cached_property
    def vectors(self) -> "Vectors":
        """The FAISS half, opened when first needed."""
        # faiss is a third of the time that a keyword query takes as a process
        from aaam_pipeline.index.vectors import Vectors

        return Vectors(self._vectors_file, self.manifest, use_gpu=self._use_gpu)

    def select(self, statement: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT over the tables of `index.scores`.

        Raises:
            IntegrityError: the database is damaged.
        """
        return self._execute(statement, values).fetchall()

    def select_columns(self, statement: str, values: list[Any] | None = None) -> dict[str, NDArray[Any]]:
        """Return the columns of a SELECT that reads whole tables, by their names; raises what `select` raises."""
        self._execute(f"SET threads = {os.cpu_count() or 1}")
        try:
            return self._execute(statement, values).fetchnumpy()
        finally:
            self._execute("SET threads = 1")

    def _execute(self, statement: str, values: list[Any] | None = None) -> duckdb.DuckDBPyConnection:
        started = time.perf_counter()
        try:
            return self._database.execute(statement, values)
        except duckdb.Error as error:
            raise IntegrityError(f"{self.folder} is damaged: {str(error).splitlines()[0]}") from None
        finally:
            log.debug("%.1f ms: %s", 1000 * (time.perf_counter() - started), statement)
