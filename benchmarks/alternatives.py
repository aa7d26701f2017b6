"""What a two-label query could also be answered with: NumPy over the codes, and postings in DuckDB and in SQLite.

Shapes: N images. Each gives the ids of the best 20 images by the product of two labels' probabilities, ties by id: the
same as a query. Postings, an entry for each image and label with a probability of at least `POSTED`, are those of the
labels that are asked for; more labels would not change how long a query takes. In DuckDB they lie sorted by label and
id, in SQLite in a table that is its primary key (label, id).
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats import ranking

TOP = 20
POSTED = 0.002
"""Fewer entries would lose images of the best 20."""
Columns = Mapping[int, NDArray[np.uint16]]
# SQLite reads the first list and looks into the second, DuckDB makes a join of it
QUERY = """
SELECT one.id FROM postings AS one CROSS JOIN postings AS other
WHERE one.label = ? AND other.label = ? AND one.id = other.id
ORDER BY one.score * other.score DESC, one.id LIMIT 20
"""


def scan(columns: Columns, one: int, other: int) -> list[int]:
    """Answer with NumPy: the scores of all images."""
    score_N = ranking.conjunction(np.stack([columns[one], columns[other]], axis=1))
    found = np.flatnonzero(score_N >= np.partition(score_N, -TOP)[-TOP])
    order = np.argsort(-score_N[found], kind="stable")
    ids: list[int] = found[order][:TOP].tolist()
    return ids


def _posted(code_N: NDArray[np.uint16]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the ids and the probabilities of a label's postings."""
    score_N = ranking.decode(code_N)
    ids = np.flatnonzero(score_N >= POSTED).astype(np.int32)
    return ids, score_N[ids]


class DuckPostings:
    """Postings in DuckDB, joined."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._database = duckdb.connect(str(path))
        self._database.execute("CREATE TABLE postings (label UTINYINT, id INTEGER, score DOUBLE)")
        for label, code_N in sorted(columns.items()):
            entries = dict(zip(("id", "score"), _posted(code_N), strict=True))
            self._database.register("entries", entries)
            self._database.execute(f"INSERT INTO postings SELECT {label}, id, score FROM entries")
            self._database.unregister("entries")

    def query(self, one: int, other: int) -> list[int]:
        return [id for (id,) in self._database.execute(QUERY, [one, other]).fetchall()]

    def close(self) -> None:
        self._database.close()


class SqlitePostings:
    """Postings in SQLite, joined."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._database = sqlite3.connect(path)
        self._database.execute("PRAGMA cache_size = -1000000")
        self._database.execute(
            "CREATE TABLE postings (label INTEGER, id INTEGER, score REAL, PRIMARY KEY (label, id)) WITHOUT ROWID"
        )
        for label, code_N in sorted(columns.items()):
            ids, scores = _posted(code_N)
            rows = ((label, id, score) for id, score in zip(ids.tolist(), scores.tolist(), strict=True))
            self._database.executemany("INSERT INTO postings VALUES (?, ?, ?)", rows)
        self._database.commit()
        self._lengths = {label: len(_posted(code_N)[0]) for label, code_N in columns.items()}

    def query(self, one: int, other: int) -> list[int]:
        first, second = sorted([one, other], key=self._lengths.__getitem__)
        return [id for (id,) in self._database.execute(QUERY, [first, second])]

    def close(self) -> None:
        self._database.close()
