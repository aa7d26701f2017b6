"""Rows that no input was found for: which go, and which stay.

The one rule: a row goes when this run looked where its file lay, and the file is known to be gone while its folder is
there. All others stay: rows of what was not looked at (other folders, what is excluded, what lies beyond a limit), rows
of files that are there and were not chosen, and rows of files whose folder is gone or empty, as that of a disk that
is not mounted is. Where all pictures of a folder (two at least) or of an input folder would lose their rows, or more
than half of all, these stay, too. `--forget` drops every row that no input was found for.

An input that is named (by a list, by a link that leads nowhere) and cannot be read is not gone either: the row of its
picture stays, until it can be read or `--forget` lets the input fail.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import duckdb
import pyarrow as pa

from aaam_pipeline.annotate.inputs.base import SHARD_SUFFIX
from aaam_pipeline.annotate.inputs.scope import Scope
from aaam_pipeline.annotate.presence import FileFinder
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.text import counted

# tasks at once, and rows of a task: a task a row would take longer than looking at a local file
THREADS = 8
CHUNK = 256
PARTS = 16
SHOWN = 3
# states of rows that go; `moved`: another row has taken them over
GOING = "('gone', 'moved')"
# states that `presence` gives, and `outside`: not looked at
STAYING = ("outside", "there", "unknown")

TABLE = """
CREATE TABLE absent AS
WITH unlisted AS (
    SELECT *, min(base) OVER (PARTITION BY root, path) AS newest FROM rows ANTI JOIN listed USING (root, path)
)
SELECT base, part, row, root, path, sha256, status, 'outside' AS state FROM unlisted WHERE base = newest
ORDER BY part, row
"""
EMPTY = """
CREATE TABLE absent (
    base INTEGER, part INTEGER, row INTEGER, root VARCHAR, path VARCHAR, sha256 VARCHAR, status VARCHAR, state VARCHAR
)
"""
# only pictures count that were annotated: a row that says what failed holds nothing that could be lost
NAMES = """
SELECT root, count(DISTINCT path) AS names FROM rows WHERE status = 'ok' GROUP BY root
"""
GONE = """
SELECT root, count(DISTINCT path) AS names FROM absent WHERE status = 'ok' AND state = 'gone' GROUP BY root
"""
FOLDER = "regexp_replace(rtrim(root, '/') || '/' || path, '/[^/]*$', '')"
# a tar says itself which members it has
WHOLE_FOLDERS = f"""
SELECT folder FROM (
    SELECT {FOLDER} AS folder, path, false AS is_gone FROM rows WHERE status = 'ok'
    UNION ALL SELECT {FOLDER}, path, true FROM absent WHERE status = 'ok' AND state = 'gone'
) WHERE NOT contains(lower(folder) || '/', '{SHARD_SUFFIX}/') GROUP BY folder
HAVING count(DISTINCT path) > 1 AND count(DISTINCT path) = count(DISTINCT path) FILTER (is_gone)
"""
MISSING_FOLDERS = f"""
SELECT {FOLDER} FROM absent WHERE state = 'missing'
UNION SELECT {FOLDER} FROM matched JOIN listed USING (input) WHERE state = 'missing'
"""


class AbsentCounts(NamedTuple):
    """How many rows without an input: go, stay because they were not asked about, stay though nothing is found."""

    gone: int
    outside: int
    missing: int


class AbsentRows:
    """The table `absent` of a comparison's database: rows that no input was found for, and what is known of each."""

    def __init__(self, database: duckdb.DuckDBPyConnection, scope: Scope) -> None:
        """Make the table: empty, at no cost, where every row has its input."""
        self._database, self._scope = database, scope
        self.finder = FileFinder(scope)
        self.held = ""
        surplus = "SELECT (SELECT count(*) FROM rows) - (SELECT count(row) FROM matched)"
        database.execute(TABLE if _one(database, surplus) else EMPTY)

    def look(self, report: Reporter) -> None:
        """Look for the files of the rows that an input would have been found for, if they were there."""
        total = _one(self._database, "SELECT count(*) FROM absent")
        last = _one(self._database, "SELECT coalesce(max(part), -1) FROM absent")
        if not total:
            return
        with report.task("look for files", total) as advance:
            for first in range(0, last + 1, PARTS):
                rows = self._select("part BETWEEN ? AND ?", first, first + PARTS - 1)
                names = zip(rows["root"].to_pylist(), rows["path"].to_pylist(), strict=True)
                covered = pa.array([self._scope.covers(root, path) for root, path in names], pa.bool_())
                self.find(rows.filter(covered))
                advance(rows.num_rows)

    def find(self, rows: pa.Table) -> None:
        """Look for the files of some rows of the table, and note what is found."""
        if not rows.num_rows:
            return
        chunks = rows.to_batches(CHUNK)
        with ThreadPoolExecutor(THREADS) as pool:
            states = [state for found in pool.map(self._find, chunks) for state in found]
        self.mark(rows.select(["part", "row"]).append_column("state", pa.array(states, pa.string())))

    def mark(self, answers: pa.Table) -> None:
        """Note states: a table of `part`, `row`, `state`."""
        self._database.register("answers", answers)
        self._database.execute(
            "UPDATE absent SET state = answers.state FROM answers "
            "WHERE absent.part = answers.part AND absent.row = answers.row"
        )
        self._database.unregister("answers")

    def decide(self, forget: bool) -> AbsentCounts:
        """Decide which rows go; `held` says why rows stay whose files are not found, "" where there are none."""
        reasons = [] if forget else [*self._hold_back(), *self._folders()]
        counts = dict(self._database.execute("SELECT state, count(*) FROM absent GROUP BY 1").fetchall())
        outside, missing = sum(counts.get(state, 0) for state in STAYING), counts.get("missing", 0)
        inputs = _one(self._database, "SELECT count(*) FROM matched WHERE state = 'missing'")
        if inputs:
            reasons.insert(0, f"inputs that cannot be read: {inputs}")
        if missing + inputs and not forget:
            rows = "row stays whose picture is" if missing + inputs == 1 else "rows stay whose pictures are"
            self.held = (
                f"{missing + inputs} {rows} not found: {'; '.join(reasons)}; "
                "if a disk is not mounted, mount it, and if they were deleted, drop their rows with --forget"
            )
        if forget:
            self._database.execute("UPDATE absent SET state = 'gone' WHERE state != 'moved'")
        return AbsentCounts(counts.get("gone", 0), outside, missing)

    def _find(self, rows: pa.RecordBatch) -> list[str]:
        names = zip(rows["root"].to_pylist(), rows["path"].to_pylist(), strict=True)
        return [self.finder.find(root, path) for root, path in names]

    def _select(self, where: str, *values: int) -> pa.Table:
        query = f"SELECT part, row, root, path FROM absent WHERE {where}"
        return self._database.sql(query, params=list(values)).to_arrow_table()

    def _hold_back(self) -> list[str]:
        """Let rows stay that are too many to go unasked; return why, in words."""
        gone = dict(self._database.execute(GONE).fetchall())
        if not gone:
            return []
        there = dict(self._database.execute(NAMES).fetchall())
        if 2 * sum(gone.values()) > sum(there.values()):
            self._database.execute("UPDATE absent SET state = 'missing' WHERE state = 'gone'")
            verb = "is" if sum(gone.values()) == 1 else "are"
            pictures = counted(sum(there.values()), "picture")
            return [f"{sum(gone.values())} of {pictures} {verb} gone, more than half"]
        whole = [root for root, names in gone.items() if names == there[root]]
        self._database.execute("UPDATE absent SET state = 'missing' WHERE state = 'gone' AND root IN ?", [whole])
        folders = [folder for (folder,) in self._database.execute(WHOLE_FOLDERS).fetchall()]
        self._database.execute(f"UPDATE absent SET state = 'missing' WHERE state = 'gone' AND {FOLDER} IN ?", [folders])
        whole = sorted({*whole, *folders})
        return [f"all pictures of {_listed(whole)} are gone"] if whole else []

    def _folders(self) -> list[str]:
        """Return in words which folders are not there, or empty."""
        found = self._database.execute(MISSING_FOLDERS).fetchall()
        folders = sorted(folder for (folder,) in found)
        return [f"looked for in {_listed(folders)}"] if folders else []


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _one(database: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(database.execute(query).fetchall()[0][0])
