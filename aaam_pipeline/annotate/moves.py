"""Pictures that were moved, renamed or copied: a row of the same content serves them, and nothing is decoded.

An input that has no row, or another content than its row, is hashed if a row is of its size. Of rows with its hash
those come first whose files are not there: the picture was moved, and the row moves with it. Otherwise it is a copy.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa

from aaam_pipeline.annotate.absent import AbsentRows
from aaam_pipeline.annotate.inputs import InputItem, is_url
from aaam_pipeline.annotate.listing import to_items
from aaam_pipeline.annotate.reader import fetch, link_target
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.core.progress import Reporter

THREADS = 8

# files of this machine: what lies elsewhere would be fetched twice if it is new after all
CANDIDATES = """
SELECT listed.* FROM listed JOIN matched USING (input)
WHERE state IN ('new', 'changed') AND NOT contains(listed.root, '://') AND input NOT IN (SELECT input FROM hashes)
    AND listed.bytes > 0 AND listed.bytes IN (SELECT DISTINCT bytes FROM rows WHERE reusable)
ORDER BY input
"""
# rows with the content of an input that is to be annotated. `vanished`: 2 a row of its own that goes then, 1 a row
# whose input has another content now
SOURCES = """
CREATE TABLE sources AS
WITH wanted AS (SELECT DISTINCT hashes.sha256 FROM hashes JOIN matched USING (input) WHERE state IN ('new', 'changed'))
SELECT rows.part, rows.row, rows.root, rows.path, rows.sha256, absent.state,
       CASE WHEN matched.state IN ('changed', 'retried') THEN 1 ELSE 0 END AS vanished
FROM rows JOIN wanted USING (sha256)
LEFT JOIN absent ON absent.part = rows.part AND absent.row = rows.row
LEFT JOIN matched ON matched.part = rows.part AND matched.row = rows.row
WHERE rows.reusable
"""
MOVES = """
CREATE TABLE moves AS
WITH source AS (
    SELECT *, row_number() OVER (PARTITION BY sha256 ORDER BY vanished = 0, path, root, part, row) AS place,
           count(*) OVER (PARTITION BY sha256) AS rows, count_if(vanished > 0) OVER (PARTITION BY sha256) AS moving
    FROM sources
), target AS (
    SELECT listed.*, hashes.sha256, hashes.link_target,
           row_number() OVER (PARTITION BY hashes.sha256 ORDER BY listed.path, listed.root, input) AS place
    FROM hashes JOIN listed USING (input) JOIN matched USING (input) WHERE state IN ('new', 'changed')
)
SELECT target.input, source.part, source.row, target.root, target.path, target.link_target, target.mtime,
       target.place <= source.moving AS moved
FROM target JOIN source ON source.sha256 = target.sha256
    AND source.place = CASE WHEN target.place <= source.rows THEN target.place ELSE 1 END
"""
NO_MOVES = """
CREATE TABLE moves (
    input BIGINT, part INTEGER, row INTEGER, root VARCHAR, path VARCHAR, link_target VARCHAR, mtime BIGINT,
    moved BOOLEAN
)
"""
# one row for one input: of two rows and one input, one row stays
RELEASED = r"""
UPDATE absent SET state = 'moved' FROM (
    SELECT part, row, name, bytes, row_number() OVER (PARTITION BY name, bytes ORDER BY part, row) AS place
    FROM (SELECT part, row, rows.bytes, regexp_extract(absent.path, '[^/]*$') AS name
          FROM absent JOIN rows USING (part, row) WHERE state = 'missing' AND absent.status = 'failed')
) AS failed JOIN (
    SELECT name, bytes, count(*) AS inputs
    FROM (SELECT listed.bytes, regexp_extract(listed.path, '[^/]*$') AS name
          FROM listed JOIN matched USING (input) WHERE state = 'new')
    GROUP BY ALL
) AS twins ON twins.name = failed.name AND twins.bytes IS NOT DISTINCT FROM failed.bytes
WHERE absent.part = failed.part AND absent.row = failed.row AND failed.place <= twins.inputs
"""
# An interrupted run has moved rows already, which the finished annotations hold under their old names.
TAKEN_OVER = """
SELECT part, row, root, path, state FROM absent WHERE base > 0 AND sha256 IN (
    SELECT newer.sha256 FROM rows AS newer JOIN matched ON matched.part = newer.part AND matched.row = newer.row
    WHERE newer.base < absent.base AND newer.reusable AND matched.state IN ('kept', 'missing')
        AND NOT EXISTS (SELECT 1 FROM rows AS older WHERE older.base = absent.base AND older.root = newer.root
            AND older.path = newer.path)
)
"""


def find_moves(database: duckdb.DuckDBPyConnection, absent: AbsentRows, report: Reporter) -> None:
    """Make the table `moves`, and mark inputs that a row was found for as `moved` or `copied`."""
    _hash_candidates(database, report)
    if not database.execute("SELECT count(*) FROM hashes").fetchall()[0][0]:
        database.execute(NO_MOVES)
        return
    database.execute(SOURCES)
    # not looked at: only now it is of interest whether they are there
    outside = "SELECT part, row, root, path FROM sources WHERE state = 'outside'"
    absent.find(database.sql(outside).to_arrow_table())
    database.execute(
        "UPDATE sources SET vanished = 2 FROM absent WHERE absent.part = sources.part AND absent.row = sources.row "
        "AND absent.state IN ('gone', 'missing')"
    )
    database.execute(MOVES)
    database.execute(
        "UPDATE matched SET state = if(moved, 'moved', 'copied'), part = NULL, row = NULL FROM moves "
        "WHERE moves.input = matched.input"
    )
    database.execute(
        "UPDATE absent SET state = 'moved' FROM moves "
        "WHERE moves.part = absent.part AND moves.row = absent.row AND moved AND absent.state IN ('gone', 'missing')"
    )


def release_failed(database: duckdb.DuckDBPyConnection) -> None:
    """Mark rows of files as `moved` that failed without a content (empty ones, for instance), and whose folder moved.

    A new input of the same name and size takes the place of each: it fails alike, with a row of its own. A row that
    failed holds nothing that could be lost.
    """
    database.execute(RELEASED)


def find_taken_over(database: duckdb.DuckDBPyConnection, absent: AbsentRows) -> None:
    """Mark rows as `moved` that an interrupted run has moved already."""
    rows = database.sql(TAKEN_OVER).to_arrow_table()
    absent.find(rows.filter(pa.compute.equal(rows["state"], "outside")))
    rows = rows.set_column(rows.schema.get_field_index("state"), "state", pa.array(["moved"] * len(rows), pa.string()))
    database.register("taken_over", rows)
    database.execute(
        "UPDATE absent SET state = 'moved' FROM taken_over AS taken WHERE absent.part = taken.part "
        "AND absent.row = taken.row AND absent.state IN ('gone', 'missing')"
    )
    database.unregister("taken_over")


def add_hashes(database: duckdb.DuckDBPyConnection, inputs: pa.Table, report: Reporter) -> None:
    """Hash inputs, and add them to the table `hashes`; what cannot be read is not added."""
    if not inputs.num_rows:
        return
    with report.task("compare", inputs.num_rows) as advance, ThreadPoolExecutor(THREADS) as pool:
        for chunk in inputs.to_batches(256):
            found = list(zip(*pool.map(_content, to_items(chunk)), strict=True))
            hashes, targets = (pa.array(column, pa.string()) for column in found)
            answers = pa.table({"input": chunk["input"], "sha256": hashes, "link_target": targets})
            database.register("answers", answers)
            database.execute("INSERT INTO hashes SELECT * FROM answers WHERE sha256 IS NOT NULL")
            database.unregister("answers")
            advance(chunk.num_rows)


def _content(item: InputItem) -> tuple[str | None, str | None]:
    """Return the hash of an input's content and where a link leads, if one does; None if it cannot be read."""
    try:
        if item.offset is not None or is_url(item.location):
            return hashlib.sha256(fetch(item).data).hexdigest(), None
        # photographs and what is named like one: of large files not all at once
        with Path(item.location).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return digest, link_target(item.location, is_link=Path(item.location).is_symlink())
    except (ImageError, OSError, ValueError):
        return None, None


def _hash_candidates(database: duckdb.DuckDBPyConnection, report: Reporter) -> None:
    todo = "SELECT count(*) FROM matched WHERE state IN ('new', 'changed')"
    if not all(database.execute(query).fetchall()[0][0] for query in ("SELECT count(*) FROM rows", todo)):
        return
    add_hashes(database, database.sql(CANDIDATES).to_arrow_table(), report)
