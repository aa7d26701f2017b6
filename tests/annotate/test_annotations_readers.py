"""The folder as other programs open it: pandas and pyarrow as it is, DuckDB and polars by `annotations/*.parquet`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from conftest import LABELS
from runs import rows

from aaam_pipeline.formats.parts import annotations_schema


def by_pyarrow(folder: Path) -> list[dict[str, Any]]:
    return pyarrow.dataset.dataset(folder).to_table().to_pylist()


def by_pandas(folder: Path) -> list[dict[str, Any]]:
    found = pandas.read_parquet(folder, dtype_backend="pyarrow")
    return pyarrow.Table.from_pandas(found, preserve_index=False).to_pylist()


def by_duckdb(folder: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        return database.sql(f"SELECT * FROM '{folder}/*.parquet'").to_arrow_table().to_pylist()


def by_polars(folder: Path) -> list[dict[str, Any]]:
    return polars.scan_parquet(f"{folder}/*.parquet").collect().to_arrow().to_pylist()


READERS: list[Callable[[Path], list[dict[str, Any]]]] = [by_pyarrow, by_pandas, by_duckdb, by_polars]


def plain(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows in the order of their paths, with lists as lists and dates as text."""
    texts = [{name: str(value) if hasattr(value, "tzinfo") else value for name, value in row.items()} for row in found]
    return sorted(texts, key=lambda row: row["path"])


@pytest.mark.parametrize("read", READERS)
def test_every_reader_finds_every_row_and_the_same_values(
    read: Callable[[Path], list[dict[str, Any]]], partly_failed: Path
) -> None:
    expected = plain(rows(partly_failed).to_pylist())
    found = plain(read(partly_failed))
    assert len(found) == 12
    assert [row["status"] for row in found].count("failed") == 6
    assert [list(row) for row in found] == [annotations_schema(len(LABELS), 1).names] * 12
    assert found == expected


def test_all_that_is_no_data_has_a_name_that_readers_of_folders_skip(partly_failed: Path) -> None:
    others = [path.name for path in partly_failed.iterdir() if path.suffix != ".parquet"]
    assert len(others) == 7
    assert all(name.startswith(("_", ".")) for name in others)


def test_no_column_has_a_type_or_an_encoding_that_spark_does_not_know(partly_failed: Path) -> None:
    assert "halffloat" not in str(annotations_schema(3, 4))
    for part in partly_failed.glob("*.parquet"):
        group = pq.read_metadata(part).row_group(0)
        used = {encoding for column in range(group.num_columns) for encoding in group.column(column).encodings}
        assert used <= {"PLAIN", "RLE", "RLE_DICTIONARY"}
