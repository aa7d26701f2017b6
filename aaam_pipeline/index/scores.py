"""The DuckDB half of an index: one byte column a label, and the images' facts.

Shapes: B rows of a batch, L labels.

DESIGN measured that a column a label answers a two-label ranking in milliseconds per million images whatever the
labels' frequency, where a postings table with a join takes 20 to 300. Columns are named `s<label id>`: a label's text
never becomes SQL.

    scores(id, s0 .. s<L-1>, place)    UTINYINT, `core.ranking.encode` of the probability; `place`: the rank by path
    images(id, path, root, width, height, bytes, mtime, taken, sha256, labels)
"""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from aaam_pipeline.core import ranking, schema

FACTS = ("path", "root", "width", "height", "bytes", "mtime", "taken", "sha256", "labels")


class ScoresBuilder:
    """Writes the two tables batch by batch; ids count up from 0 in the order of the annotations."""

    def __init__(self, path: Path, num_labels: int) -> None:
        """Create the database file at `path`."""
        self._database = duckdb.connect(str(path))
        self._database.execute("SET TimeZone = 'UTC'")
        columns = ", ".join(f"s{label} UTINYINT NOT NULL" for label in range(num_labels))
        self._database.execute(f"CREATE TABLE scores (id INTEGER NOT NULL, {columns}, place INTEGER NOT NULL)")
        self._database.execute(
            "CREATE TABLE images (id INTEGER NOT NULL, path VARCHAR NOT NULL, root VARCHAR NOT NULL, width INTEGER, "
            "height INTEGER, bytes BIGINT, mtime TIMESTAMP, taken TIMESTAMP, sha256 VARCHAR, labels VARCHAR[])"
        )

    def add(self, first_id: int, batch: pa.RecordBatch) -> None:
        """Add annotated (not failed) rows, which get the ids from `first_id` on."""
        ids = pa.array(np.arange(first_id, first_id + batch.num_rows, dtype=np.int32))
        codes_BL = ranking.encode(schema.rows(batch["scores"]))
        names = ["id", *(f"s{label}" for label in range(codes_BL.shape[1])), "place"]
        columns = [ids, *(pa.array(np.ascontiguousarray(codes_B)) for codes_B in codes_BL.T), ids]
        self._insert("scores", pa.table(columns, names=names))
        facts = {name: batch[name] for name in FACTS}
        facts["mtime"] = facts["mtime"].cast(pa.timestamp("us"))
        self._insert("images", pa.table({"id": ids, **facts}))

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._database.register("incoming", rows)
        self._database.execute(f"INSERT INTO {table} SELECT * FROM incoming")
        self._database.unregister("incoming")

    def sort(self) -> None:
        """Give every image its place: the rank of its path, then its root, then its id. Equal scores go by it."""
        self._database.execute(
            "UPDATE scores SET place = ranked.place FROM (SELECT id, row_number() OVER (ORDER BY path, root, id) - 1 "
            "AS place FROM images) AS ranked WHERE scores.id = ranked.id"
        )

    def in_several(self, ends: list[int]) -> str | None:
        """Return an image, as root/path, that is in more than one of the id ranges [ends[n], ends[n + 1])."""
        if len(ends) <= 2:
            return None
        found = self._database.execute(
            "SELECT root, path FROM images JOIN (SELECT unnest(?) AS first, unnest(?) AS last) AS ranges "
            "ON id >= first AND id < last GROUP BY root, path HAVING count(DISTINCT first) > 1 ORDER BY ALL LIMIT 1",
            [ends[:-1], ends[1:]],
        ).fetchone()
        return f"{found[0].rstrip('/')}/{found[1]}" if found else None

    def label_counts(self, vocabulary: list[str]) -> list[int]:
        """Return how many images were assigned each label."""
        return count_labels(self._database, vocabulary)

    def close(self) -> None:
        """Flush everything into the file."""
        self._database.close()


def count_labels(database: duckdb.DuckDBPyConnection, vocabulary: list[str]) -> list[int]:
    """Return how many images of an open database were assigned each label."""
    found = database.execute("SELECT label, count(*) FROM (SELECT unnest(labels) AS label FROM images) GROUP BY 1")
    counts = dict(found.fetchall())
    return [counts.get(label, 0) for label in vocabulary]
