"""What `find_duplicates` asks of an index, from rows in memory."""

from pathlib import Path
from typing import Any

import duckdb
from numpy.typing import NDArray

from aaam_pipeline.search.reader import IndexReader

COLUMNS = {
    "path": "VARCHAR",
    "root": "VARCHAR",
    "width": "INTEGER",
    "height": "INTEGER",
    "bytes": "BIGINT",
    "mtime": "TIMESTAMP",
    "sha256": "VARCHAR",
    "phash": "VARCHAR",
    "link_target": "VARCHAR",
    "labels": "VARCHAR[]",
}


class FakeReader(IndexReader):
    """An index that holds rows, each a mapping; what one lacks is null."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.folder = Path("index")
        self._base = duckdb.connect(":memory:")
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        self._base.execute(f"CREATE TABLE images (id INTEGER, {columns})")
        self._base.execute("CREATE TABLE scores (id INTEGER, place INTEGER)")
        by_path = sorted(range(len(rows)), key=lambda id: (rows[id]["path"], rows[id]["root"]))
        for id, row in enumerate(rows):
            values = [id, *(row.get(name) for name in COLUMNS)]
            marks = ", ".join("make_timestamp(?)" if name == "mtime" else "?" for name in COLUMNS)
            self._base.execute(f"INSERT INTO images VALUES (?, {marks})", values)
            self._base.execute("INSERT INTO scores VALUES (?, ?)", [id, by_path.index(id)])

    def select(self, statement: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
        return self._base.execute(statement, values).fetchall()

    def select_columns(self, statement: str, values: list[Any] | None = None) -> dict[str, NDArray[Any]]:
        return self._base.execute(statement, values).fetchnumpy()
