"""Damage to annotations with the hashes made to fit, as one does who changes them by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from conftest import rewrite_json

from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.parts import part_path

Damage = Callable[[Path], object]


def part(folder: Path, number: int = 0) -> Path:
    return part_path(folder, number)


def rewrite(change: Callable[[pa.Table], pa.Table], number: int = 0) -> Damage:
    """Return damage to the rows of a part, with its stats made to fit."""

    def damage(folder: Path) -> None:
        part_files.write_part(part(folder, number), change(pq.ParquetFile(part(folder, number)).read()))

    return damage


def cell(column: str, value: Any, row: int = 3) -> Damage:
    """Return damage to one value, with the stats made to fit."""

    def change(rows: pa.Table) -> pa.Table:
        values = rows[column].to_pylist()
        values[row] = value(values[row]) if callable(value) else value
        field = rows.schema.field(column)
        return rows.set_column(rows.schema.get_field_index(column), field, pa.array(values, field.type))

    return rewrite(change)


def edit(name: str, **values: Any) -> Damage:
    """Return damage to a JSON file whose hash fits; a callable makes the new value of the old one."""
    return lambda folder: rewrite_json(folder / name, **values)


def manifest(**values: Any) -> Damage:
    return edit("_manifest.json", **values)
