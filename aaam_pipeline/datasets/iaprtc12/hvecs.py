"""`.hvecs` of INRIA's LEAR group: rows of 16-bit numbers, each led by how many they are.

All numbers are unsigned, 16 bits, little-endian, header and values alike: so their own `vec_read.m` reads the format
(`hvecs32` is the same with 32 bits).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import DatasetError


def read(path: Path, rows: int, columns: int) -> NDArray[np.uint16]:
    """Return a file's values (rows, columns) as uint16.

    Raises:
        DatasetError: it does not hold so many rows of so many values; the line says where.
    """
    data = path.read_bytes()
    stride = 2 * (1 + columns)
    if len(data) % 2:
        raise DatasetError(f"{path} is damaged: it ends in the middle of a number, after {len(data):,} bytes")
    values = np.frombuffer(data, dtype="<u2")
    whole = values[: len(data) // stride * (1 + columns)].reshape(-1, 1 + columns)
    wrong = np.flatnonzero(whole[:, 0] != columns)
    if len(wrong):
        row = int(wrong[0])
        raise DatasetError(
            f"{path}, row {row + 1}: it is led by {whole[row, 0]}, not by {columns}, the number of words"
        )
    if len(data) % stride:
        raise DatasetError(f"{path} is damaged: it ends in row {len(whole) + 1}, after {len(data):,} bytes")
    if len(whole) != rows:
        raise DatasetError(f"{path} has {len(whole):,} rows, but the list of images has {rows:,} lines")
    return np.ascontiguousarray(whole[:, 1:])
