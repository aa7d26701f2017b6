"""The DuckDB half of an index: a column of 16 bits a label, and the images' metadata.

Shapes: B rows of a batch, L labels.

A column a label answers a two-label ranking in a millisecond per million images whatever the labels' frequency; a
postings table with a join takes 20 to 300 (`python -m benchmarks search`). Columns are named `s<label id>`: a
label's text never becomes SQL.

    scores(id, s0 .. s<L-1>, place)    USMALLINT, `formats.ranking.encode` of the probability; `place`: the rank by path
    images(id, path, root, link_target, width, height, bytes, mtime, captured_at, sha256, phash, labels, unfamiliar,
           digest)                     UBIGINT, the first 8 bytes of the SHA-256: by it decisions find their images
"""

import shutil
import tempfile
from pathlib import Path
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.formats import ranking
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.database import attach
from aaam_pipeline.index.manifest import DIGEST

COMMIT_ROWS = 8 * 122_880
"""Rows that are written in one transaction: complete row groups of DuckDB. A transaction for every batch took twice the
time, and one for all of them would hold ever more memory."""
METADATA = {
    "path": "VARCHAR NOT NULL",
    "root": "VARCHAR NOT NULL",
    "link_target": "VARCHAR",
    "width": "INTEGER",
    "height": "INTEGER",
    "bytes": "BIGINT",
    "mtime": "TIMESTAMP",
    "captured_at": "TIMESTAMP",
    "sha256": "VARCHAR",
    "phash": "VARCHAR",
    "labels": "VARCHAR[]",
    "unfamiliar": "BOOLEAN",
}
"""Columns of annotations that an index has, too."""
INSERT_ROWS = 16384
"""Rows of one INSERT."""
MIN_MEMORY = 2**29
"""What DuckDB needs for a hundred columns, and for sorting, even where less is allowed."""


class ScoresBuilder:
    """Writes the two tables; ids count up from 0 in the order in which images are added or copied."""

    def __init__(self, path: Path, num_labels: int, max_memory: int, old: Path | None = None) -> None:
        """Create the database file at `path`, with `max_memory` bytes to work in; `old`: one to copy images from."""
        # DuckDB takes what follows a ? for parameters, and keeps its journal at another place: such a file is moved
        self._scratch = tempfile.TemporaryDirectory(prefix="aaam-") if "?" in str(path.absolute()) else None
        self._path, self._written = path, Path(self._scratch.name) / path.name if self._scratch else path
        self._database = duckdb.connect(
            ":memory:",
            # what does not fit into memory goes beside the file
            config={
                "memory_limit": f"{max(max_memory, MIN_MEMORY)}B",
                "temp_directory": f"{self._written.absolute()}.tmp",
                "threads": str(available_cores()),
            },
        )
        try:
            attach(self._database, self._written, "index")
            self._create(num_labels)
            if old:
                attach(self._database, old, "old", read_only=True)
            self._database.execute("BEGIN")
        except duckdb.Error:
            self.close()
            raise
        self._next = 0
        self._waiting: list[pa.RecordBatch] = []
        # the greatest path so far; None once one came that was not greater
        self._greatest: str | None = ""

    def _create(self, num_labels: int) -> None:
        self._database.execute("USE index; SET TimeZone = 'UTC'")
        columns = ", ".join(f"s{label} USMALLINT NOT NULL" for label in range(num_labels))
        self._database.execute(f"CREATE TABLE scores (id INTEGER NOT NULL, {columns}, place INTEGER NOT NULL)")
        facts = ", ".join(f"{name} {kind}" for name, kind in METADATA.items())
        self._database.execute(f"CREATE TABLE images (id INTEGER NOT NULL, {facts}, digest UBIGINT)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Add annotated (not failed) rows."""
        self._waiting.append(batch)
        # a statement takes milliseconds whatever it inserts, and parts may be small
        if sum(each.num_rows for each in self._waiting) >= INSERT_ROWS:
            self._flush()

    def copy(self, first: int, count: int) -> None:
        """Add images of the previous index, those with the ids from `first` on."""
        self._flush()
        self._greatest = None
        for table in ("scores", "images"):
            self._database.execute(
                f"INSERT INTO {table} SELECT id + ($1::INTEGER), * EXCLUDE (id) FROM old.{table} "
                "WHERE id >= $2 AND id < $3",
                [self._next - first, first, first + count],
            )
        self._advance(count)

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = pa.Table.from_batches(self._waiting)
        self._waiting.clear()
        ids = pa.array(np.arange(self._next, self._next + rows.num_rows, dtype=np.int32))
        codes_BL = ranking.encode(to_matrix(rows["scores"]))
        names = ["id", *(f"s{label}" for label in range(codes_BL.shape[1])), "place"]
        columns = [ids, *(pa.array(codes_B) for codes_B in np.ascontiguousarray(codes_BL.T)), ids]
        self._insert("scores", pa.table(columns, names=names))
        metadata = {name: rows[name] for name in METADATA}
        metadata["mtime"] = metadata["mtime"].cast(pa.timestamp("us"))
        self._insert("images", pa.table({"id": ids, **metadata}), f"*, {DIGEST}")
        self._note_order(rows["path"].combine_chunks())
        self._advance(rows.num_rows)

    def _note_order(self, paths: pa.StringArray) -> None:
        """Note whether images come in the order of their paths, as in one folder: ids are then ranks by path."""
        ascending = pc.all(pc.less(paths[:-1], paths[1:]), min_count=0).as_py()
        if self._greatest is not None and ascending and self._greatest < paths[0].as_py():
            self._greatest = paths[-1].as_py()
        else:
            self._greatest = None

    def _advance(self, count: int) -> None:
        if (self._next + count) // COMMIT_ROWS > self._next // COMMIT_ROWS:
            self._database.execute("COMMIT; BEGIN")
        self._next += count

    def _insert(self, table: str, rows: pa.Table, columns: str = "*") -> None:
        self._database.register("incoming", rows)
        self._database.execute(f"INSERT INTO {table} SELECT {columns} FROM incoming")
        self._database.unregister("incoming")

    def finish(self, vocabulary: list[str]) -> list[int]:
        """Write the last rows, and `place`, the rank by path, root and id; return how many images have each label."""
        self._flush()
        self._database.execute("COMMIT")
        # the metadata of 20 hits among a million images is then read in 1.5 ms instead of 5
        self._database.execute("CREATE UNIQUE INDEX images_id ON images (id)")
        if self._greatest is None:
            self._database.execute(
                "UPDATE scores SET place = ranked.place FROM (SELECT id, row_number() OVER (ORDER BY path, root, id) "
                "- 1 AS place FROM images) AS ranked WHERE scores.id = ranked.id"
            )
        # here and not when it is closed, where an error would not be seen
        self._database.execute("CHECKPOINT index")
        return count_labels(self._database, vocabulary)

    def count_unfamiliar(self) -> tuple[int, int]:
        """Return what `count_unfamiliar` of this module returns, once all is written."""
        return count_unfamiliar(self._database)

    def close(self) -> None:
        """Close the file; whole if `finish` came to its end."""
        self._database.close()
        if self._scratch:
            if self._written.exists():
                shutil.move(self._written, self._path)
            self._scratch.cleanup()


def count_labels(database: duckdb.DuckDBPyConnection, vocabulary: list[str]) -> list[int]:
    """Return how many images of an open database were assigned each label."""
    found = database.execute("SELECT label, count(*) FROM (SELECT unnest(labels) AS label FROM images) GROUP BY 1")
    counts = dict(found.fetchall())
    return [counts.get(label, 0) for label in vocabulary]


def count_unfamiliar(database: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """Return of how many images of an open database it is known whether they are unfamiliar, and how many are."""
    judged, unfamiliar = database.execute(
        "SELECT count(unfamiliar), count(*) FILTER (unfamiliar) FROM images"
    ).fetchall()[0]
    return judged, unfamiliar
