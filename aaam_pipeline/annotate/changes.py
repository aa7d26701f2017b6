"""What has changed: the inputs as they are now against the rows that are there already.

A row is kept as long as its input has the size and the modification time it had; where the time alone differs, the
content decides by its hash. DuckDB joins the two in a scratch file, so that neither side is ever held in memory.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from aaam_pipeline.annotate import writer
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.annotate.reader import fetch
from aaam_pipeline.annotate.writer import regroup
from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.errors import AaamError, ImageError
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.progress import Reporter

TODO_SCHEMA = pa.schema(
    [
        # bytes, since a name on disk need not be UTF-8
        ("location", pa.binary()),
        ("root", pa.string()),
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("mtime", pa.int64()),
        ("offset", pa.int64()),
    ]
)
FACTS = ("root", "path", "bytes", "mtime", "sha256", "status")
CHUNK = 16384
HASHING = 8
# what DuckDB raises when there is no room
FULL = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException)

TABLES = """
SET TimeZone = 'UTC'; SET memory_limit = '256MB'; SET enable_progress_bar = false;
CREATE TABLE listed (
    input BIGINT, location BLOB, root VARCHAR, path VARCHAR, bytes BIGINT, mtime BIGINT, "offset" BIGINT
);
CREATE TABLE rows (
    base INTEGER, part INTEGER, row INTEGER, root VARCHAR, path VARCHAR, bytes BIGINT, mtime BIGINT, sha256 VARCHAR,
    status VARCHAR
)
"""

# An input that occurs several times (in a list) has several rows: the n-th occurrence belongs to the n-th row.
MATCH = """
CREATE TABLE matched AS
WITH now AS (SELECT *, row_number() OVER (PARTITION BY root, path ORDER BY input) AS occurrence FROM listed),
     before AS (SELECT *, row_number() OVER (PARTITION BY root, path ORDER BY part, row) AS occurrence FROM rows)
SELECT now.input, before.part, before.row, before.sha256, CAST(NULL AS BIGINT) AS mtime,
       CASE WHEN before.row IS NULL THEN 'new'
            WHEN before.status = 'failed' AND ? THEN 'retried'
            -- of a URL in a list neither size nor time is known
            WHEN contains(now.root, '://') AND now.bytes IS NULL THEN 'kept'
            WHEN now.bytes IS DISTINCT FROM before.bytes THEN 'changed'
            WHEN now.mtime IS NOT DISTINCT FROM before.mtime THEN 'kept'
            WHEN before.sha256 IS NULL THEN 'changed'
            ELSE 'touched' END AS state
FROM now LEFT JOIN before USING (root, path, occurrence)
"""

# What two folders both hold are the same images: those of the one that has more rows of an input count.
DELETED = """
WITH there AS (SELECT root, path, base, count(*) AS rows FROM rows GROUP BY ALL),
     before AS (SELECT root, path, max(rows) AS rows FROM there GROUP BY ALL),
     now AS (SELECT root, path, count(*) AS lines FROM listed GROUP BY ALL)
SELECT coalesce(sum(greatest(rows - coalesce(lines, 0), 0)), 0) FROM before LEFT JOIN now USING (root, path)
"""


class ChangeCounts(NamedTuple):
    """How many inputs are what. `retried`: failed before, and asked for again; `deleted`: rows without an input."""

    new: int = 0
    changed: int = 0
    retried: int = 0
    kept: int = 0
    deleted: int = 0

    @property
    def todo(self) -> int:
        """How many are to be annotated."""
        return self.new + self.changed + self.retried

    def __str__(self) -> str:
        """Return it in words, without what is zero."""
        counts = {name: count for name, count in self._asdict().items() if count}
        return ", ".join(f"{count} {name}" for name, count in counts.items())


class ChangeDetector:
    """Compares the inputs with the rows that are there, in a scratch folder; a context manager."""

    def __init__(self) -> None:
        """Make the scratch folder.

        Raises:
            AaamError: it cannot be written to; so may everything here.
        """
        self._scratch = tempfile.TemporaryDirectory(prefix="aaam-")
        try:
            self._database = duckdb.connect(str(Path(self._scratch.name) / "changes.duckdb"))
            self._database.execute(f"SET threads = {min(2, available_cores())}; {TABLES}")
        except FULL as error:
            self._scratch.cleanup()
            raise self._full(error) from None
        self.inputs = 0
        self.listing_hash = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._database.close()
        except FULL as closing:
            error = error or closing
        self._scratch.cleanup()
        if isinstance(error, FULL):
            raise self._full(error) from None

    def record(self, items: Iterable[InputItem]) -> None:
        """Store the inputs as they are now; `inputs` and `listing_hash` are known afterwards."""
        hashes = []
        remaining = iter(items)
        while chunk := list(islice(remaining, CHUNK)):
            numbers = pa.array(range(self.inputs, self.inputs + len(chunk)), pa.int64())
            columns = to_table(chunk)
            hashes.append(fingerprint([repr(tuple(item)) for item in chunk]))
            self._insert("listed", columns.add_column(0, "input", numbers))
            self.inputs += len(chunk)
        self.listing_hash = fingerprint(hashes)

    def compare(self, existing: Sequence[Sequence[Path]], retry_failed: bool, report: Reporter) -> ChangeCounts:
        """Match the inputs with the rows that are there: parts of one or more folders, the preferred one first.

        Raises:
            IntegrityError: a part cannot be read.
        """
        parts = [(base, part) for base, parts in enumerate(existing) for part in parts]
        for number, (base, part) in enumerate(parts):
            self._insert("rows", _facts(base, number, part))
        self._database.execute(MATCH, [retry_failed])
        self._compare_touched(report)
        states = dict(self._database.execute("SELECT state, count(*) FROM matched GROUP BY 1").fetchall())
        return ChangeCounts(**states, deleted=self._one(DELETED))

    def stale(self) -> bool:
        """Return whether a row is no input's, or has a modification time that its input no longer has."""
        surplus = self._one("SELECT (SELECT count(*) FROM rows) - (SELECT count(row) FROM matched)")
        return bool(surplus or self._one("SELECT count(mtime) FROM matched WHERE state = 'kept'"))

    def repeated(self) -> int:
        """Return how many inputs are an input for the second time or more, as lines of a list can be."""
        return self._one("SELECT count(*) - count(DISTINCT hash(root, path)) FROM listed")

    def forgotten_roots(self) -> list[str]:
        """Return the roots that have rows and no inputs any more."""
        found = self._database.execute("SELECT DISTINCT root FROM rows WHERE root NOT IN (SELECT root FROM listed)")
        return sorted(root for (root,) in found.fetchall())

    def roots(self) -> list[str]:
        """Return the roots of the inputs, in their order."""
        found = self._database.execute("SELECT root FROM listed GROUP BY root ORDER BY min(input)")
        return [root for (root,) in found.fetchall()]

    def kept(self, part: int) -> pa.Table:
        """Return the rows of a part that stay: `row`, and `mtime` where it is another one now."""
        return self._database.sql(
            "SELECT row, mtime FROM matched WHERE part = ? AND state = 'kept' ORDER BY row", params=[part]
        ).to_arrow_table()

    def write_todo(self, path: Path, part_size: int) -> None:
        """Write the inputs to be annotated, in order: one row group for each part they will make."""
        found = self._database.sql(
            "SELECT listed.* EXCLUDE (input) FROM listed JOIN matched USING (input) WHERE state != 'kept' "
            "ORDER BY input"
        )
        with pq.ParquetWriter(path, TODO_SCHEMA) as writer:
            for rows in regroup(found.to_arrow_reader(), part_size):
                writer.write_table(rows.cast(TODO_SCHEMA), row_group_size=part_size)

    def _compare_touched(self, report: Reporter) -> None:
        """Compare the contents of inputs whose modification time alone is new."""
        touched = self._database.sql(
            "SELECT listed.*, matched.sha256 FROM listed JOIN matched USING (input) WHERE state = 'touched' "
            "ORDER BY input"
        ).to_arrow_table()
        if not touched.num_rows:
            return
        same: list[bool] = []
        with report.task("compare", touched.num_rows) as advance, ThreadPoolExecutor(HASHING) as pool:
            for chunk in touched.to_batches(256):
                hashes = pool.map(_sha256, to_items(chunk))
                same += [now == before for now, before in zip(hashes, chunk["sha256"].to_pylist(), strict=True)]
                advance(chunk.num_rows)
        answers = pa.table({"input": touched["input"], "mtime": touched["mtime"], "same": pa.array(same)})
        self._database.register("answers", answers)
        self._database.execute(
            "UPDATE matched SET state = if(same, 'kept', 'changed'), mtime = if(same, answers.mtime, NULL) "
            "FROM answers WHERE matched.input = answers.input"
        )
        self._database.unregister("answers")

    def _full(self, error: BaseException) -> AaamError:
        reason = str(error).splitlines()[0]
        return AaamError(f"cannot keep the list of inputs in {Path(self._scratch.name).parent} (TMPDIR): {reason}")

    def _insert(self, table: str, incoming: pa.Table) -> None:
        self._database.register("incoming", incoming)
        self._database.execute(f"INSERT INTO {table} SELECT * FROM incoming")
        self._database.unregister("incoming")

    def _one(self, query: str) -> int:
        return int(self._database.execute(query).fetchall()[0][0])


def to_table(items: Sequence[InputItem]) -> pa.Table:
    """Return items as rows of the schema `TODO_SCHEMA`."""
    locations = [item.location.encode("utf8", "surrogateescape") for item in items]
    columns = [locations, *([getattr(item, name) for item in items] for name in TODO_SCHEMA.names[1:])]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, TODO_SCHEMA.types, strict=True)]
    return pa.table(arrays, TODO_SCHEMA)


def to_items(rows: pa.Table | pa.RecordBatch) -> Iterator[InputItem]:
    """Yield the items that `to_table` made rows of."""
    columns = [rows[name].to_pylist() for name in TODO_SCHEMA.names]
    for location, *rest in zip(*columns, strict=True):
        yield InputItem(location.decode("utf8", "surrogateescape"), *rest)


def _facts(base: int, number: int, part: Path) -> pa.Table:
    facts = writer.read_part(part, FACTS).select(FACTS)
    facts = facts.set_column(FACTS.index("mtime"), "mtime", facts["mtime"].cast(pa.int64()))
    numbers = {"base": [base] * len(facts), "part": [number] * len(facts), "row": range(len(facts))}
    columns = [pa.array(values, pa.int32()) for values in numbers.values()]
    return pa.table([*columns, *facts.columns], [*numbers, *FACTS])


def _sha256(item: InputItem) -> str | None:
    try:
        return hashlib.sha256(fetch(item).data).hexdigest()
    except ImageError:
        return None
