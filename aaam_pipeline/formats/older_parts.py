"""Rows of annotations of version 2, read as rows of the current version.

Version 2 has `taken` and `taken_offset` where the current one has `captured_at` and `captured_at_offset`, no
`link_target`, `phash` and `unfamiliar`, and scores and embeddings as float16. Shapes: L labels, D embedding.
"""

from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aaam_pipeline.formats.columns import fixed_size_list
from aaam_pipeline.formats.parts import VERSION, annotations_schema

RENAMED = {"captured_at": "taken", "captured_at_offset": "taken_offset"}
ADDED = ("link_target", "phash", "unfamiliar")
VECTORS = ("scores", "embedding")

Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def schema_of(version: int, num_labels: int, embedding_dim: int) -> pa.Schema:
    """Return the schema of a part of a version that is read."""
    current = annotations_schema(num_labels, embedding_dim)
    if version == VERSION:
        return current
    fields = [field.with_name(RENAMED.get(field.name, field.name)) for field in current if field.name not in ADDED]
    halves = [
        field.with_type(pa.list_(pa.float16(), field.type.list_size)) if field.name in VECTORS else field
        for field in fields
    ]
    return pa.schema(halves, metadata={"aaam_schema_version": str(version)})


def to_current(rows: Rows) -> Rows:
    """Return rows, of any version that is read, in the current schema."""
    schema = annotations_schema(*(rows.schema.field(name).type.list_size for name in VECTORS))
    if rows.schema.equals(schema):
        return rows
    columns = []
    for field in schema:
        if field.name in ADDED:
            columns.append(pa.nulls(rows.num_rows, field.type))
        elif field.name in VECTORS:
            columns.append(_widened(rows[field.name]))
        else:
            columns.append(rows[RENAMED.get(field.name, field.name)])
    return type(rows).from_arrays(columns, schema=schema)


def _widened(column: pa.FixedSizeListArray | pa.ChunkedArray) -> pa.FixedSizeListArray:
    """Return lists of float16 as lists of float32. (The cast of pyarrow 20 knows no float16.)"""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    size = column.type.list_size
    halves = column.values.slice(column.offset * size, len(column) * size).to_numpy(zero_copy_only=False)
    lists = fixed_size_list(halves.astype(np.float32).reshape(-1, size))
    return pc.if_else(column.is_null(), pa.scalar(None, lists.type), lists)
