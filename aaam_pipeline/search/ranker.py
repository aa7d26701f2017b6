"""Ranks the images of an index for a query: what `formats.ranking` defines, over columns of bytes in memory.

Shapes: N images, B images of a block.

To rank a million images by two columns takes NumPy a millisecond; DuckDB, from which a column is read when first asked
for, takes three to plan the query.

The score of an expression of n labels is N / 255^n. Its numerator N is computed block by block, so that
intermediate results stay in the processor's cache, in the narrowest type that holds it exactly. Of each block only
images are kept that could still be among the best.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats import ranking
from aaam_pipeline.search import filters
from aaam_pipeline.search.query import TO_INTEGER, And, Label, MetadataFilter, Node, Not, Or, ScoreFilter, degree
from aaam_pipeline.search.shared_cache import SharedCache

BLOCK = 65536
MAX_BYTES = 10**9
"""Memory for columns. Those that a query names are read again if all of them are more."""
COMPARISONS = {">=": np.greater_equal, ">": np.greater, "<=": np.less_equal, "<": np.less, "=": np.equal}
Rows = slice | NDArray[np.int64]
Select = Callable[[str, list[Any]], dict[str, NDArray[Any]]]


class LeafValues(NamedTuple):
    """What an expression is computed from: the codes of a label by its id (N,), the mask of a filter (N,)."""

    codes: Callable[[int], NDArray[np.uint8]]
    mask: Callable[[MetadataFilter], NDArray[np.bool_]]


class ScoreColumns:
    """The columns of the table `scores`, by the ids of images and labels; and the masks of filters on metadata.

    Any number of threads may ask for them.
    """

    def __init__(self, select: Select, images: int) -> None:
        """Read through `select`, which returns the columns of a statement by their names."""
        self._select, self._images = select, images
        # the codes of a label (N,), by its id: the last used ones are kept
        self._codes = SharedCache(self._read_codes, max(1, MAX_BYTES // images))
        self._path_ranks = SharedCache(self._read_path_ranks, 1)

    def codes(self, label: int) -> NDArray[np.uint8]:
        """Return the codes of a label (N,), by its id."""
        return self._codes.get(label)

    @property
    def path_ranks(self) -> NDArray[np.int32]:
        """The rank of each image by its path (N,), which decides between equal scores."""
        return self._path_ranks.get("place")

    def after_fork(self) -> None:
        """Make this usable in a child that was just forked."""
        for each in (self._codes, self._path_ranks):
            each.after_fork()

    def _read_path_ranks(self, name: str) -> NDArray[np.int32]:
        found = self._select(f"SELECT id, {name} FROM scores", [])
        # rows lie in the order of their ids, so a column is indexed by id
        if not np.array_equal(found["id"], np.arange(self._images)):
            raise IntegrityError("the index is damaged: its scores are not those of its images; build the index again")
        return np.asarray(found[name], np.int32)

    def _read_codes(self, label: int) -> NDArray[np.uint8]:
        name = f"s{label}"
        found = self._select(f"SELECT {name} FROM scores", [])
        # by its name: the column of another label would be kept, and give wrong answers for good
        if list(found) != [name] or len(found[name]) != self._images:
            raise IntegrityError("the index is damaged: it lacks scores; build the index again")
        return np.asarray(found[name], np.uint8)

    def mask(self, node: MetadataFilter) -> NDArray[np.bool_]:
        """Return for which images a filter on their metadata holds (N,)."""
        condition, values = filters.condition(node)
        mask_N = np.zeros(self._images, np.bool_)
        mask_N[self._select(f"SELECT id FROM images WHERE {condition}", values)["id"]] = True
        return mask_N

    def leaf_values(self) -> LeafValues:
        """Return columns for one query: each is read once, even if they are more than may be kept for others."""
        return LeafValues(cache(self.codes), cache(self.mask))


class RankedImage(NamedTuple):
    """An image that was found: its score, its rank by path among images of equal score, its scores by label."""

    id: int
    score: float
    path_rank: int
    label_scores: dict[str, float]


def best(
    node: Node, values: LeafValues, path_rank_N: NDArray[np.int32], top: int, among: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], Any]:
    """Return ids and numerators of the `top` best images with a score above 0, best first, ties by path.

    `among`: rank only the images with these ids.
    """
    if among is not None:
        number = numerators(node, values, among)
        return _best([(among[number > 0], number[number > 0])], path_rank_N, top)
    found: list[tuple[NDArray[np.int64], Any]] = []
    count, least, last = 0, 0, 0
    for start, end in _blocks(len(path_rank_N)):
        numerator_B = numerators(node, values, slice(start, end))
        rows = np.flatnonzero(numerator_B >= least) if least else np.flatnonzero(numerator_B)
        if least:
            # of images as good as the worst of the best so far, those whose path comes before
            rows = rows[(numerator_B[rows] > least) | (path_rank_N[start + rows] < last)]
        found.append((start + rows, numerator_B[rows]))
        count += len(rows)
        # not after every block: when many are asked for, most of the time would be spent on sorting them again
        if count >= 4 * top:
            found = [_best(found, path_rank_N, top)]
            ((ids, numbers),) = found
            count, least, last = top, numbers[-1], path_rank_N[ids[-1]]
    return _best(found, path_rank_N, top)


def _blocks(images: int) -> Iterator[tuple[int, int]]:
    """Yield where blocks begin and end. The first are small: they soon exclude most of the other images."""
    start, size = 0, max(1, BLOCK // 16)
    while start < images:
        end = min(start + size, images)
        yield start, end
        start, size = end, min(4 * size, BLOCK)


def numerators(node: Node, values: LeafValues, rows: Rows) -> Any:
    """Return the numerators of an expression's scores for some images."""
    return _numerators(node, values, rows, _dtype(degree(node)))


def _numerators(node: Node, values: LeafValues, rows: Rows, dtype: type[Any]) -> Any:
    match node:
        case Label(id):
            return values.codes(id)[rows].astype(dtype)
        case ScoreFilter():
            return _mask(values.codes(node.label)[rows], node).astype(dtype)
        case MetadataFilter():
            return values.mask(node)[rows].astype(dtype)
        case Not(item):
            return _complement(item, values, rows, dtype)
        case And(items):
            product = _numerators(items[0], values, rows, dtype)
            for item in items[1:]:
                product *= _numerators(item, values, rows, dtype)
            return product
        case Or(items):
            product = _complement(items[0], values, rows, dtype)
            for item in items[1:]:
                product *= _complement(item, values, rows, dtype)
            return dtype(ranking.denominator(degree(node))) - product


def _complement(node: Node, values: LeafValues, rows: Rows, dtype: type[Any]) -> Any:
    """Return the numerators of the opposite of an expression."""
    return dtype(ranking.denominator(degree(node))) - _numerators(node, values, rows, dtype)


def _dtype(degree: int) -> type[Any]:
    """Return the narrowest type for whole numbers up to 255^degree; a double is exact up to six labels."""
    return np.uint16 if degree <= 2 else np.uint32 if degree <= 4 else np.float64


def _mask(codes: NDArray[np.uint8], node: ScoreFilter) -> NDArray[np.bool_]:
    # few numbers are exactly the probability of a code: `=` compares with the code that is stored for a number
    code = TO_INTEGER[node.operator](Fraction(node.value) * ranking.LEVELS)
    mask: NDArray[np.bool_] = COMPARISONS[node.operator](codes, code)
    return mask


def _best(
    found: list[tuple[NDArray[np.int64], Any]], path_rank_N: NDArray[np.int32], top: int
) -> tuple[NDArray[np.int64], Any]:
    """Return ids and numerators of the `top` best of what was found, best first, ties by path."""
    ids, numerators = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if len(ids) > top:
        # doubles: NumPy partitions them several times as fast as numbers of 16 bits
        wide = numerators.astype(np.float64)
        chosen = wide >= np.partition(wide, -top)[-top]
        ids, numerators = ids[chosen], numerators[chosen]
    order = np.lexsort((path_rank_N[ids], -numerators.astype(np.float64)))[:top]
    return ids[order], numerators[order]
