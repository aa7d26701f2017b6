"""What has changed: the inputs as they are now against the rows that are there already.

A row is kept as long as its input has the size and the modification time it had; where the time alone differs, the
content decides by its hash. What failed for a reason that may pass is tried again. `inherited` keeps rows of files that
keywords were written into, `moves` finds rows for pictures that were renamed, `absent` decides on rows that no input
was found for. DuckDB joins the two sides in a scratch file, so that neither is ever held in memory.
"""

import tempfile
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aaam_pipeline.annotate import failures, inherited, moves, overlaps
from aaam_pipeline.annotate.absent import AbsentRows
from aaam_pipeline.annotate.change_counts import ChangeCounts
from aaam_pipeline.annotate.inputs import InputItem, Scope
from aaam_pipeline.annotate.listing import TODO_SCHEMA, to_table
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.part_files import regroup
from aaam_pipeline.formats.parts import AnnotationsManifest
from aaam_pipeline.formats.roots import MovedRoot, apply_all

FACTS = ("root", "path", "bytes", "mtime", "sha256", "status", "error_type", "error_message")
CHUNK = 16384
# what DuckDB raises when there is no room
FULL = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException)

# `failure`: the message of a failure that may pass; `reusable`: what the row says is true of any file of its content
TABLES = """
SET TimeZone = 'UTC'; SET memory_limit = '256MB'; SET enable_progress_bar = false;
CREATE TABLE listed (
    input BIGINT, location BLOB, root VARCHAR, path VARCHAR, bytes BIGINT, mtime BIGINT, "offset" BIGINT
);
CREATE TABLE rows (
    base INTEGER, part INTEGER, row INTEGER, root VARCHAR, path VARCHAR, bytes BIGINT, mtime BIGINT, sha256 VARCHAR,
    status VARCHAR, error_type VARCHAR, failure VARCHAR, reusable BOOLEAN
);
CREATE TABLE hashes (input BIGINT, sha256 VARCHAR, link_target VARCHAR)
"""

# An input that occurs several times (in a list) has several rows: the n-th occurrence belongs to the n-th row.
# `holds`: the row tells what a picture shows, and stays where that cannot be looked at (the state `missing`).
MATCH = """
CREATE TABLE matched AS
WITH now AS (SELECT *, row_number() OVER (PARTITION BY root, path ORDER BY input) AS occurrence FROM listed),
     before AS (SELECT *, row_number() OVER (PARTITION BY root, path ORDER BY part, row) AS occurrence FROM rows)
SELECT now.input, before.part, before.row, before.sha256, CAST(NULL AS BIGINT) AS mtime,
       CAST(NULL AS BIGINT) AS new_bytes, CAST(NULL AS VARCHAR) AS new_sha256,
       coalesce(before.status = 'ok' AND NOT $forget, false) AS holds,
       CASE WHEN before.row IS NULL THEN 'new'
            WHEN before.status = 'failed' AND $retry_failed THEN 'retried'
            -- of a URL in a list neither size nor time is known
            WHEN contains(now.root, '://') AND now.bytes IS NULL THEN if(failure IS NULL, 'kept', 'passing')
            WHEN now.bytes IS NULL AND holds THEN 'missing'
            WHEN now.bytes IS DISTINCT FROM before.bytes THEN 'changed'
            WHEN now.mtime IS NOT DISTINCT FROM before.mtime THEN if(failure IS NULL, 'kept', 'passing')
            WHEN before.sha256 IS NULL THEN 'changed'
            ELSE 'touched' END AS state
FROM now LEFT JOIN before USING (root, path, occurrence)
"""

# Rows that stay: `root`, `path`, `link_target` where they are other ones now; `mtime` there, and where it is new;
# `bytes`, `sha256` where keywords were written into the file.
KEPT = """
SELECT row, root, path, link_target, mtime, bytes, sha256 FROM (
    SELECT part, row, CAST(NULL AS VARCHAR) AS root, CAST(NULL AS VARCHAR) AS path,
        CAST(NULL AS VARCHAR) AS link_target, mtime, new_bytes AS bytes, new_sha256 AS sha256 FROM matched
    WHERE state IN ('kept', 'missing')
    UNION ALL SELECT part, row, NULL, NULL, NULL, NULL, NULL, NULL FROM absent WHERE state NOT IN ('gone', 'moved')
    UNION ALL SELECT part, row, root, path, link_target, mtime, NULL, NULL FROM moves
)
WHERE part = ? ORDER BY row, root, path
"""

# Rows of pictures that are looked at anew, in the columns of KEPT. One that another file has taken over is not its any
# more, and `holds` is false where every failure is to be seen.
REPLACED = """
SELECT row, CAST(NULL AS VARCHAR) AS root, CAST(NULL AS VARCHAR) AS path, CAST(NULL AS VARCHAR) AS link_target,
    CAST(NULL AS BIGINT) AS mtime, CAST(NULL AS BIGINT) AS bytes, CAST(NULL AS VARCHAR) AS sha256
FROM matched WHERE state = 'changed' AND holds AND part = $part
    AND row NOT IN (SELECT row FROM moves WHERE part = $part AND moved) ORDER BY row
"""


class ChangeDetector:
    """Compares the inputs with the rows that are there, in a scratch folder; a context manager."""

    def __init__(self, moved_roots: Sequence[str] = ()) -> None:
        """Make the scratch folder. `moved_roots`: places of rows that have another name now, each OLD=NEW.

        Raises:
            UsageError: a place is not of that form.
            AaamError: the scratch folder cannot be written to; so may everything here.
        """
        self.moved_roots = [MovedRoot.parse(each) for each in moved_roots]
        # the parts that hold rows below a place that was moved, and how many
        self.renamed: dict[int, int] = {}
        self._scratch = tempfile.TemporaryDirectory(prefix="aaam-")
        try:
            self._database = duckdb.connect(str(Path(self._scratch.name) / "changes.duckdb"))
            self._database.execute(f"SET threads = {min(2, available_cores())}; {TABLES}")
        except FULL as error:
            self._scratch.cleanup()
            raise self._full(error) from None
        self.inputs = 0
        self.listing_hash = ""
        self.held = ""

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

    def compare(
        self, existing: Sequence[Sequence[Path]], options: Options, scope: Scope, report: Reporter
    ) -> ChangeCounts:
        """Match the inputs with the rows that are there: parts of one or more folders, the preferred one first.

        `scope`: what was looked at to find the inputs. `held` says afterwards in one line which rows stay although
        their files are not found, if there are any.

        Raises:
            IntegrityError: a part cannot be read.
        """
        self._read_rows(existing, options, report)
        overlaps.take_known_names(self._database)
        self._database.execute(MATCH, {"retry_failed": options.retry_failed, "forget": options.forget})
        # joins are not for nothing where nothing has changed
        states = {state for (state,) in self._database.execute("SELECT DISTINCT state FROM matched").fetchall()}
        if "touched" in states:
            self._compare_touched(report)
        if states & {"changed", "touched"}:
            inherited.keep_rows(self._database, options.decisions, report)
            failures.hold_unreadable(self._database)
        if "passing" in states:
            failures.try_again(self._database, report)
        absent = AbsentRows(self._database, scope)
        absent.look(report)
        moves.find_moves(self._database, absent, report)
        moves.release_failed(self._database)
        if len(existing) > 1:
            moves.find_taken_over(self._database, absent)
        gone, outside, missing = absent.decide(options.forget)
        self.held = absent.held
        counts = dict(self._database.execute("SELECT state, count(*) FROM matched GROUP BY 1").fetchall())
        missing, forgotten = missing + counts.pop("missing", 0), 0
        if options.forget:
            outside, missing, forgotten = 0, 0, outside + missing
        renamed = sum(self.renamed.values())
        return ChangeCounts(
            **counts, renamed=renamed, deleted=gone, forgotten=forgotten, outside=outside, missing=missing
        )

    def _read_rows(self, existing: Sequence[Sequence[Path]], options: Options, report: Reporter) -> None:
        """Store what is known of the rows that are there, under the names that they have now."""
        parts = [(base, part) for base, parts in enumerate(existing) for part in parts]
        idle = self.moved_roots
        for number, (base, part) in enumerate(parts):
            facts = part_files.read_part(part, FACTS)
            renamed = apply_all(self.moved_roots, facts)
            if renamed is not None:
                same = pc.and_(*(pc.equal(facts[name], renamed[name]) for name in ("root", "path")))
                self.renamed[number] = len(facts) - pc.sum(same, min_count=0).as_py()
                idle = [moved for moved in idle if moved.applied(facts) is None]
            known = _known(facts if renamed is None else renamed, options.retry_failed)
            numbers = {"base": [base] * len(facts), "part": [number] * len(facts), "row": range(len(facts))}
            columns = {name: pa.array(values, pa.int32()) for name, values in numbers.items()}
            self._insert("rows", pa.table(columns | known))
        for moved in idle if parts else ():
            report.info(f"no row lies below {moved.old}")

    def stale(self) -> int:
        """Return how many rows do not stay as they are, or are to be made: by those that failed, moved or copied."""
        staying = (
            "(SELECT count(*) FROM matched WHERE state IN ('kept', 'missing') "
            "AND mtime IS NULL AND new_sha256 IS NULL)",
            "(SELECT count(*) FROM absent WHERE state NOT IN ('gone', 'moved'))",
        )
        moved = "(SELECT count(*) FROM moves)"
        rows = self._one(f"SELECT (SELECT count(*) FROM rows) + {moved} - {' - '.join(staying)}")
        return rows + len(self.renamed)

    def described(self, manifest: AnnotationsManifest) -> AnnotationsManifest:
        """Return a manifest with what is known of all rows that there will be: of inputs, and those that stay."""
        names = (
            "(SELECT root, path, input FROM listed UNION ALL "
            "SELECT root, path, NULL FROM absent WHERE state NOT IN ('gone', 'moved'))"
        )
        counts = f"SELECT count(*), count(*) - count(DISTINCT hash(root, path)) FROM {names}"
        rows, repeated = self._database.execute(counts).fetchall()[0]
        roots = f"SELECT root FROM {names} GROUP BY root ORDER BY min(input) NULLS LAST, root"
        found = [root for (root,) in self._database.execute(roots).fetchall()]
        return msgspec.structs.replace(manifest, inputs=rows, repeated=repeated, roots=found)

    def roots(self) -> list[str]:
        """Return the roots of the inputs, in their order."""
        found = self._database.execute("SELECT root FROM listed GROUP BY root ORDER BY min(input)")
        return [root for (root,) in found.fetchall()]

    def kept(self, part: int) -> pa.Table:
        """Return the rows of a part that stay: `row`, and what is another one now, in the columns of KEPT.

        With `root` the name and what belongs to it is; a row occurs once more for each copy of its picture.
        """
        return self._database.sql(KEPT, params=[part]).to_arrow_table()

    def replaced(self, part: int) -> pa.Table:
        """Return the rows of a part that stay if their pictures cannot be read, in the columns of `kept`."""
        return self._database.sql(REPLACED, params={"part": part}).to_arrow_table()

    def write_todo(self, path: Path, part_size: int) -> None:
        """Write the inputs to be annotated, in order: one row group for each part they will make."""
        found = self._database.sql(
            "SELECT listed.* EXCLUDE (input) FROM listed JOIN matched USING (input) "
            "WHERE state NOT IN ('kept', 'missing', 'moved', 'copied') ORDER BY input"
        )
        with pq.ParquetWriter(path, TODO_SCHEMA) as writer:
            for rows in regroup(found.to_arrow_reader(), part_size):
                writer.write_table(rows.cast(TODO_SCHEMA), row_group_size=part_size)

    def _compare_touched(self, report: Reporter) -> None:
        """Compare the contents of inputs whose modification time alone is new."""
        touched = "SELECT listed.* FROM listed JOIN matched USING (input) WHERE state = 'touched' ORDER BY input"
        moves.add_hashes(self._database, self._database.sql(touched).to_arrow_table(), report)
        self._database.execute(
            "UPDATE matched SET mtime = if(same, answers.mtime, NULL), state = CASE WHEN same THEN 'kept' "
            "WHEN same IS NULL AND holds THEN 'missing' ELSE 'changed' END "
            "FROM (SELECT input, listed.mtime, hashes.sha256 = matched.sha256 AS same "
            "FROM matched JOIN listed USING (input) LEFT JOIN hashes USING (input) WHERE state = 'touched') "
            "AS answers WHERE matched.input = answers.input"
        )

    def _full(self, error: BaseException) -> AaamError:
        reason = str(error).splitlines()[0]
        return AaamError(f"cannot keep the list of inputs in {Path(self._scratch.name).parent} (TMPDIR): {reason}")

    def _insert(self, table: str, incoming: pa.Table) -> None:
        self._database.register("incoming", incoming)
        self._database.execute(f"INSERT INTO {table} SELECT * FROM incoming")
        self._database.unregister("incoming")

    def _one(self, query: str) -> int:
        return int(self._database.execute(query).fetchall()[0][0])


def _known(facts: pa.Table, retry_failed: bool) -> dict[str, pa.ChunkedArray]:
    """Return the columns of the table `rows` for rows of a part."""
    passing = failures.may_pass(facts["error_type"])
    answered = passing.is_null() if retry_failed else pc.invert(passing.fill_null(False))
    columns = {name: facts[name] for name in FACTS if name != "error_message"}
    columns["mtime"] = facts["mtime"].cast(pa.int64())
    columns["failure"] = pc.if_else(passing, facts["error_message"], None)
    columns["reusable"] = pc.and_(answered, facts["sha256"].is_valid())
    return columns
