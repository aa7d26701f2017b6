"""Which images have nearly the same perceptual hash: each is compared with all after it, exactly, by FAISS.

Shapes: N hashes, each of 32 bytes.
"""

from collections.abc import Iterator
from itertools import pairwise

import faiss
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.progress import Reporter

BLOCK = 128
"""Hashes that are compared at once: in a long series of pictures that are alike, each has all others as neighbours."""
RENEWED = 64
"""After so many blocks, the hashes before them are left out of the comparison."""

Neighbours = list[tuple[int, NDArray[np.int64]]]


def later_neighbours(
    hashes_N32: NDArray[np.uint8], most: int, taken_N: NDArray[np.bool_], report: Reporter
) -> Iterator[Neighbours]:
    """Yield, block by block, the hashes with others after them that differ in at most `most` bits, and these others.

    Hashes that the caller marks in `taken_N` meanwhile are left out.
    """
    index, first = faiss.IndexBinaryFlat(8 * hashes_N32.shape[1]), 0
    with report.task("compare", len(hashes_N32)) as advance:
        for start in range(0, len(hashes_N32), BLOCK):
            if start % (RENEWED * BLOCK) == 0:
                index.reset()
                index.add(hashes_N32[start:])
                first = start
            asked = start + np.flatnonzero(~taken_N[start : start + BLOCK])
            # `<` in FAISS
            limits, _, found = index.range_search(hashes_N32[asked], most + 1)
            rows = [found[low:high] + first for low, high in pairwise(limits.astype(np.int64))]
            near = [(number, others[others > number]) for number, others in zip(asked.tolist(), rows, strict=True)]
            yield [(number, np.sort(others[~taken_N[others]])) for number, others in near if len(others)]
            advance(min(BLOCK, len(hashes_N32) - start))
