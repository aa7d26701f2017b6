"""How many photographs gain or lose which labels. Shapes: N rows, L labels, A labels assigned."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Counts = NDArray[np.int64]


class LabelChanges(NamedTuple):
    """Of `photographs` annotated ones, `changed` have other labels; for each label how many have, gain and lose it."""

    labels: list[str]
    photographs: int
    changed: int
    before_L: Counts
    after_L: Counts
    gained_L: Counts
    lost_L: Counts

    @classmethod
    def none(cls, labels: list[str]) -> "LabelChanges":
        """Return the changes of no photograph."""
        return cls(labels, 0, 0, *(np.zeros(len(labels), np.int64) for _ in range(4)))

    @classmethod
    def between(cls, labels: list[str], before: pa.ChunkedArray, after: pa.Array) -> "LabelChanges":
        """Compare two columns of lists of `labels`, those of the same rows (N,); null: a row that is not annotated."""
        old_A, new_A = (_codes(labels, column) for column in (before, after))
        gained_A, lost_A = (np.setdiff1d(*pair, assume_unique=True) for pair in ((new_A, old_A), (old_A, new_A)))
        changed = len(np.unique(np.concatenate([gained_A, lost_A]) // len(labels)))
        counts = (np.bincount(codes % len(labels), minlength=len(labels)) for codes in (old_A, new_A, gained_A, lost_A))
        return cls(labels, len(after) - after.null_count, changed, *counts)

    def plus(self, other: "LabelChanges") -> "LabelChanges":
        """Return the sum over other photographs."""
        photographs, changed = self.photographs + other.photographs, self.changed + other.changed
        counts = (one + another for one, another in zip(self[3:], other[3:], strict=True))
        return LabelChanges(self.labels, photographs, changed, *counts)


def _codes(labels: list[str], column: pa.ChunkedArray | pa.Array) -> Counts:
    """Return row * L + label (A,) of lists of labels."""
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    row_A = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    label_A = pc.index_in(pc.list_flatten(lists), pa.array(labels, pa.string())).to_numpy()
    codes_A: Counts = row_A * len(labels) + label_A
    return codes_A
