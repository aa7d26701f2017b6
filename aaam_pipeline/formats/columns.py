"""Matrices as Arrow columns, and tables as files that are equal, byte for byte, for equal content.

Shapes: N rows, D values a row.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import fingerprint, write_bytes
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats.targets import UNKNOWN

LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def to_float16(embedding_ND: NDArray[np.floating]) -> NDArray[np.float16]:
    """Return embeddings as float16, too large values at its limit."""
    return embedding_ND.clip(-LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16)


def round_mantissa(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return numbers of 0 or more rounded to 10 bits behind the first one, half to even, as float16 has."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded: NDArray[np.float32] = ((bits + 0xFFF + ((bits >> 13) & 1)) & 0xFFFFE000).astype(np.uint32).view(np.float32)
    return rounded


def fixed_size_list(rows_ND: NDArray[Any]) -> pa.Array:
    """Return a 2-d array as an Arrow column of fixed-size lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(rows_ND).reshape(-1)), rows_ND.shape[1])


def to_matrix(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """Return a null-free column of fixed-size lists as a 2-d array."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat: NDArray[Any] = array.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(array), array.type.list_size)


def scored_schema(num_labels: int, **keys: pa.DataType) -> pa.Schema:
    """Return the columns `keys`, then `scores` and `targets` with a value a label."""
    values = {"scores": pa.list_(pa.float32(), num_labels), "targets": pa.list_(pa.int8(), num_labels)}
    return pa.schema(keys | values)


def read_scored(path: Path) -> pa.Table:
    """Read a file whose `targets` are int8; in one that knows no unknown label they may be uint8, as 0 or 1."""
    table = pq.read_table(path)
    position = table.schema.get_field_index("targets")
    kind = table.schema.field(position).type if position >= 0 else pa.null()
    if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.uint8():
        return table
    return table.set_column(position, "targets", table["targets"].cast(pa.list_(pa.int8(), kind.list_size)))


def check_targets(path: Path, targets_NL: NDArray[np.int8]) -> None:
    """Check that targets are 1, 0 or -1.

    Raises:
        IntegrityError: one is something else.
    """
    if not ((targets_NL >= UNKNOWN) & (targets_NL <= 1)).all():
        raise IntegrityError(f"{path} holds targets that are none of 1 (yes), 0 (no) and {UNKNOWN} (unknown)")


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file, atomically and with the same bytes for the same content."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(path, sink.getvalue())


def content_sha256(header: Any, arrays: Iterable[NDArray[Any]]) -> str:
    """Return the SHA-256 of JSON-able content and arrays: Parquet has none of its own over values and metadata."""
    digest = hashlib.sha256(fingerprint(header).encode())
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()
