"""Near-duplicates: groups of images that chains of similarity join, the best image of each group first.

Shapes: N images, B images of a block, D embedding.

Similarity is the cosine of embeddings. An image belongs to a group when it is similar to any image of it (single
linkage: the connected components of "at least this similar"), so the ends of a long chain may differ more than that;
each image's own similarity to the first of its group is given, too.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.search.hits import Hit
from aaam_pipeline.search.reader import IndexReader

BLOCK = 512


class DuplicateGroup(NamedTuple):
    """Images that are near-duplicates. The first is the one to keep: most pixels, then most bytes, then by path.

    Of each hit, `score` is its cosine with the first.
    """

    hits: list[Hit]
    identical: list[bool]
    """Whether each image's file is, byte for byte, that of the first."""


def near_duplicates(index: IndexReader, similarity: float, report: Reporter) -> list[DuplicateGroup]:
    """Return all groups of two or more, the largest first, then by path.

    Every image is compared with every other: the time grows with the square of their number.

    Raises:
        UsageError: `similarity` is not in (0, 1].
        IntegrityError: the index is damaged.
    """
    if not 0 < similarity <= 1:
        raise UsageError(f"a similarity must be above 0 and at most 1, not {similarity}")
    images = UnionFind(index.manifest.images)
    with report.task("compare", index.manifest.images) as advance:
        for ids, neighbours in index.vectors.neighbours(similarity, BLOCK):
            for id, others in zip(ids, neighbours, strict=True):
                if len(others):
                    images.union(id, others)
            advance(len(ids))
    groups = [_group(ids, index) for ids in images.components()]
    return sorted(groups, key=lambda group: (-len(group.hits), group.hits[0].path, group.hits[0].root))


class UnionFind:
    """Disjoint sets of the numbers 0 to N - 1, joined with NumPy; SciPy, which has them, is no dependency of search."""

    def __init__(self, count: int) -> None:
        self._parent_N: NDArray[np.int64] = np.arange(count)

    def union(self, id: int, others: NDArray[np.int64]) -> None:
        """Join the sets of a number and of others."""
        members = np.append(others, id)
        roots = self._roots(members)
        least = roots.min()
        self._parent_N[roots] = least
        self._parent_N[members] = least

    def components(self) -> Iterator[NDArray[np.int64]]:
        """Yield the sets of two or more, each in ascending order."""
        root_N = self._roots(np.arange(len(self._parent_N)))
        order = np.argsort(root_N, kind="stable")
        starts = np.flatnonzero(np.diff(root_N[order])) + 1
        yield from (ids for ids in np.split(order, starts) if len(ids) > 1)

    def _roots(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        roots = self._parent_N[ids]
        while True:
            parents = self._parent_N[roots]
            if (parents == roots).all():
                return roots
            roots = parents


def _group(ids: NDArray[np.int64], index: IndexReader) -> DuplicateGroup:
    rows: list[tuple[Any, ...]] = index.select(
        "SELECT id, path, root, labels, sha256 FROM images JOIN scores USING (id) WHERE id IN (SELECT unnest(?)) "
        "ORDER BY width::BIGINT * height DESC NULLS LAST, bytes DESC NULLS LAST, place",
        [ids.tolist()],
    )
    cosines = index.vectors.cosines([row[0] for row in rows], index.vectors.get(rows[0][0]))
    hits = [Hit(row[1], row[2], min(float(cosine), 1.0), row[3], {}) for row, cosine in zip(rows, cosines, strict=True)]
    return DuplicateGroup(hits, [row[4] is not None and row[4] == rows[0][4] for row in rows])
