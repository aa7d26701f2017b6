"""What a two-label query could also be answered with: NumPy over the bytes, and postings in DuckDB and in SQLite.

Shapes: N images. Each gives the ids of the best 20 images by the product of two labels' bytes, ties by id: the same as
a query. Postings, an entry for each image and label with a byte above 0, are those of the labels that are asked for;
more labels would not change how long a query takes. In DuckDB they lie sorted by label and id, in SQLite in a table
that is its primary key (label, id).
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

TOP = 20
Columns = Mapping[int, NDArray[np.uint8]]
# SQLite reads the first list and looks into the second, DuckDB makes a join of it
QUERY = """
SELECT one.id FROM postings AS one CROSS JOIN postings AS other
WHERE one.label = ? AND other.label = ? AND one.id = other.id
ORDER BY CAST(one.code AS INTEGER) * other.code DESC, one.id LIMIT 20
"""


def scan(columns: Columns, one: int, other: int) -> list[int]:
    """Answer with NumPy. Numbers of 32 bits are partitioned, which it does five times as fast as those of 16."""
    product_N = columns[one].astype(np.uint16) * columns[other]
    least = max(1, np.partition(product_N.astype(np.int32), -TOP)[-TOP])
    found = np.flatnonzero(product_N >= least)
    order = np.argsort(-product_N[found].astype(np.int32), kind="stable")
    ids: list[int] = found[order][:TOP].tolist()
    return ids


class DuckPostings:
    """Postings in DuckDB, joined."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self._database = duckdb.connect(str(path))
        self._database.execute("CREATE TABLE postings (label UTINYINT, id INTEGER, code UTINYINT)")
        for label, code_N in sorted(columns.items()):
            entries = {"id": np.flatnonzero(code_N).astype(np.int32), "code": code_N[code_N > 0]}
            self._database.register("entries", entries)
            self._database.execute(f"INSERT INTO postings SELECT {label}, id, code FROM entries")
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
            "CREATE TABLE postings (label INTEGER, id INTEGER, code INTEGER, PRIMARY KEY (label, id)) WITHOUT ROWID"
        )
        for label, code_N in sorted(columns.items()):
            ids = np.flatnonzero(code_N)
            rows = ((label, id, code) for id, code in zip(ids.tolist(), code_N[ids].tolist(), strict=True))
            self._database.executemany("INSERT INTO postings VALUES (?, ?, ?)", rows)
        self._database.commit()
        self._lengths = {label: np.count_nonzero(code_N) for label, code_N in columns.items()}

    def query(self, one: int, other: int) -> list[int]:
        first, second = sorted([one, other], key=self._lengths.__getitem__)
        return [id for (id,) in self._database.execute(QUERY, [first, second])]

    def close(self) -> None:
        self._database.close()
