"""Inputs as rows of a table: how they are kept between listing them and annotating them."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from aaam_pipeline.annotate.inputs import InputItem

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
