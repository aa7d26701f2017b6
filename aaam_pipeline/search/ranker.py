"""Ranks the images of an index for a query: what `formats.ranking` defines, over columns of codes in memory.

Shapes: N images, B images of a block.

To rank a million images by two columns takes NumPy a millisecond; DuckDB, from which a column is read when first asked
for, takes three to plan the query.

Scores are computed block by block, so that intermediate results stay in the processor's cache. Of each block only
images are kept that could still be among the best; which these are, comparisons of codes tell first, in a fifth of the
time that the scores take.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats import ranking
from aaam_pipeline.search import filters
from aaam_pipeline.search.query import (
    And,
    Constant,
    Label,
    MetadataFilter,
    Node,
    Not,
    Or,
    ScoreFilter,
    canonical,
    degree,
)
from aaam_pipeline.search.reader import as_codes
from aaam_pipeline.search.shared_cache import SharedCache

BLOCK = 65536
MAX_BYTES = 10**9
"""Memory for columns. Those that a query names are read again if all of them are more."""
CODE_BYTES = 2
COMPARISONS = {">=": np.greater_equal, ">": np.greater, "<=": np.less_equal, "<": np.less, "=": np.equal}
Rows = slice | NDArray[np.int64]
Select = Callable[[str, list[Any]], dict[str, NDArray[Any]]]
Elsewhere = Callable[[int], NDArray[np.uint16] | None]


@dataclass
class LeafValues:
    """What an expression is computed from: the codes of a label by its id (N,), the mask of a filter (N,)."""

    codes: Callable[[int], NDArray[np.uint16]]
    mask: Callable[[MetadataFilter], NDArray[np.bool_]]

    def scores(self, label: int, rows: Rows) -> NDArray[np.float64]:
        """Return the scores of a label for some images."""
        return ranking.decode(self.codes(label)[rows])

    def complements(self, label: int, rows: Rows) -> NDArray[np.float64]:
        """Return the scores of the opposite of a label for some images."""
        return ranking.decode(ranking.LEVELS - self.codes(label)[rows])

    def held(self, node: ScoreFilter, rows: Rows) -> NDArray[np.bool_]:
        """Return for which images a filter on a label's score holds."""
        # a number is taken for the code that is stored for it: what was stored as 0.8 is not below 0.8
        code = ranking.encode(np.array(float(node.value)))
        held: NDArray[np.bool_] = COMPARISONS[node.operator](self.codes(node.label)[rows], code)
        return held


class ScoreColumns:
    """The columns of the table `scores`, by the ids of images and labels; and the masks of filters on metadata.

    Any number of threads may ask for them.
    """

    def __init__(self, select: Select, images: int, elsewhere: Elsewhere = lambda label: None) -> None:
        """Read through `select`, which returns the columns of a statement by their names.

        `elsewhere`: returns the codes (N,) of a label that is no column of the table, and None for others.
        """
        self._select, self._images, self._elsewhere = select, images, elsewhere
        # the codes of a label (N,), by its id: the last used ones are kept
        self._codes = SharedCache(self.read_codes, max(1, MAX_BYTES // (CODE_BYTES * images)))
        self._path_ranks = SharedCache(self._read_path_ranks, 1)

    def codes(self, label: int) -> NDArray[np.uint16]:
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

    def read_codes(self, label: int) -> NDArray[np.uint16]:
        """Return the codes of a label (N,), and keep none of them: for who reads all labels, one after the other."""
        if (codes_N := self._elsewhere(label)) is not None:
            return codes_N
        name = f"s{label}"
        found = self._select(f"SELECT {name} FROM scores", [])
        # by its name: the column of another label would be kept, and give wrong answers for good
        if list(found) != [name] or len(found[name]) != self._images:
            raise IntegrityError("the index is damaged: it lacks scores; build the index again")
        return as_codes(found[name])

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
    node: Node,
    values: LeafValues,
    path_rank_N: NDArray[np.int32],
    top: int,
    least: float | None = None,
    left_out_N: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return ids and scores of the `top` best hits, best first, ties by path.

    `least`: the least score of a hit, where it is not that of the expression; `left_out_N`: images that are not ranked.
    """
    least = least_of(node) if least is None else least
    node = canonical(node)
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    count, last = 0, np.iinfo(np.int32).max
    for start, end in _blocks(len(path_rank_N)):
        rows, score = _at_least(node, values, start, end, least)
        if left_out_N is not None:
            ranked = ~left_out_N[rows]
            rows, score = rows[ranked], score[ranked]
        # of images as good as the worst of the best so far, those whose path comes before
        better = (score > least) | (path_rank_N[rows] < last)
        found.append((rows[better], score[better]))
        count += int(np.count_nonzero(better))
        # not after every block: when many are asked for, most of the time would be spent on sorting them again
        if count >= 4 * top:
            found = [_best(found, path_rank_N, top)]
            ((ids, best_scores),) = found
            count, least, last = top, float(best_scores[-1]), int(path_rank_N[ids[-1]])
    return _best(found, path_rank_N, top)


def least_of(node: Node) -> float:
    """Return the least score of a hit."""
    return max(_least(node), ranking.SMALLEST)


def _least(node: Node) -> float:
    match node:
        case And(items):
            return math.prod(map(_least, items))
        case Or(items):
            return min(map(_least, items))
        case _:
            return ranking.LEAST if degree(node) else 1.0


def _blocks(images: int) -> Iterator[tuple[int, int]]:
    """Yield where blocks begin and end. The first are small: they soon exclude most of the other images."""
    start, size = 0, max(1, BLOCK // 16)
    while start < images:
        end = min(start + size, images)
        yield start, end
        start, size = end, min(4 * size, BLOCK)


def _at_least(
    node: Node, values: LeafValues, start: int, end: int, least: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return ids and scores of the images of a block that have at least a score."""
    possible_B = _possible(node, values, slice(start, end), least)
    rows = None if possible_B is None else np.flatnonzero(possible_B)
    # to pick a third of the codes takes as long as to take all of them
    if rows is None or 3 * len(rows) > end - start:
        score = scores(node, values, slice(start, end))
        rows = np.flatnonzero(score >= least)
        return start + rows, score[rows]
    rows += start
    score = scores(node, values, rows)
    return rows[score >= least], score[score >= least]


def _possible(node: Node, values: LeafValues, rows: slice, least: float) -> NDArray[np.bool_] | None:
    """Return which images of a block could have at least a score, by comparing codes alone; None: any."""
    match node:
        case Label(id):
            return values.codes(id)[rows] >= _first_code(least)
        case Not(Label(id)):
            return values.codes(id)[rows] <= ranking.LEVELS - _first_code(least)
        case Constant(value):
            return None if value >= least else np.zeros(_count(rows), np.bool_)
        case ScoreFilter() | MetadataFilter():
            return _held(node, values, rows)
        case And(items):
            # no product is greater than a factor
            found = [each for item in items if (each := _possible(item, values, rows, least)) is not None]
            return np.logical_and.reduce(found) if found else None
        case Or(items):
            # where no operand reaches this, their "or" stays below; a little less, for the rounding
            each_least = -math.expm1(math.log1p(-min(least, 1 - 1e-9)) / len(items)) * (1 - 1e-6)
            masks = [_possible(item, values, rows, each_least) for item in items]
            known = [each for each in masks if each is not None]
            return np.logical_or.reduce(known) if len(known) == len(masks) else None
        case _:
            return None


def _first_code(least: float) -> int:
    """Return the smallest code whose probability is at least a number; the greatest, where none is."""
    return min(int(np.searchsorted(ranking.PROBABILITIES, least)), ranking.LEVELS)


def scores(node: Node, values: LeafValues, rows: Rows) -> NDArray[np.float64]:
    """Return the scores of an expression, its operands multiplied in their order, for some images."""
    match node:
        case Label(id):
            return values.scores(id, rows)
        case Constant(value):
            return np.full(_count(rows), value, np.float64)
        case ScoreFilter() | MetadataFilter():
            return _held(node, values, rows).astype(np.float64)
        case Not(item):
            return _complements(item, values, rows)
        case And(items):
            return _product(scores(item, values, rows) for item in items)
        case Or():
            return 1 - _complements(node, values, rows)


def _complements(node: Node, values: LeafValues, rows: Rows) -> NDArray[np.float64]:
    """Return the scores of the opposite of an expression."""
    match node:
        case Label(id):
            return values.complements(id, rows)
        case Not(item):
            return scores(item, values, rows)
        case Or(items):
            return _product(_complements(item, values, rows) for item in items)
        case _:
            return 1 - scores(node, values, rows)


def _product(factors: Iterator[NDArray[np.float64]]) -> NDArray[np.float64]:
    product = next(factors)
    for factor in factors:
        product *= factor
    return product


def _held(node: ScoreFilter | MetadataFilter, values: LeafValues, rows: Rows) -> NDArray[np.bool_]:
    """Return for which images a filter holds."""
    return values.mask(node)[rows] if isinstance(node, MetadataFilter) else values.held(node, rows)


def _count(rows: Rows) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def _best(
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]], path_rank_N: NDArray[np.int32], top: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return ids and scores of the `top` best of what was found, best first, ties by path."""
    ids, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if len(ids) > top:
        chosen = score >= np.partition(score, -top)[-top]
        ids, score = ids[chosen], score[chosen]
    order = np.lexsort((path_rank_N[ids], -score))[:top]
    return ids[order], score[order]
