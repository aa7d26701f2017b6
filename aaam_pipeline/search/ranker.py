"""Ranks the images of an index for a query: what `core.ranking` defines, over columns of bytes in memory.

Shapes: N images, B images of a block.

The score of an expression of n labels is a whole number in [0, 255^n]. It is computed block by block, so that what is
between two columns and a score stays in the processor's cache, in the narrowest type that holds it exactly. Of each
block only images are kept that could still be among the best.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil, floor
from typing import Any as Array
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats import ranking
from aaam_pipeline.search.query import All, Any, FactFilter, Label, Node, Not, ScoreFilter

BLOCK = 65536
Rows = slice | NDArray[np.int64]


class Operands(NamedTuple):
    """What an expression is computed from: by the id of a label its codes (N,), by a filter where it holds (N,)."""

    codes: Callable[[int], NDArray[np.uint8]]
    holds: Callable[[FactFilter], NDArray[np.bool_]]


def best(node: Node, operands: Operands, places_N: NDArray[np.int32], top: int) -> tuple[NDArray[np.int64], Array]:
    """Return ids and whole numbers of the `top` best images with a score above 0, best first, ties by place."""
    found: list[tuple[NDArray[np.int64], Array]] = []
    count, least, last = 0, 0, 0
    for start, end in _blocks(len(places_N)):
        number_B = numbers_of(node, operands, slice(start, end))
        rows = np.flatnonzero(number_B >= least) if least else np.flatnonzero(number_B)
        if least:
            # of images as good as the worst of the best so far, those whose place comes before
            rows = rows[(number_B[rows] > least) | (places_N[start + rows] < last)]
        found.append((start + rows, number_B[rows]))
        count += len(rows)
        # not after every block: when many are asked for, most of the time would go into sorting them again
        if count >= 4 * top:
            found = [_best(found, places_N, top)]
            ((ids, numbers),) = found
            count, least, last = top, numbers[-1], places_N[ids[-1]]
    return _best(found, places_N, top)


def _blocks(images: int) -> Iterator[tuple[int, int]]:
    """Yield where blocks begin and end. The first are small: they tell soon what is not among the best."""
    start, size = 0, max(1, BLOCK // 16)
    while start < images:
        end = min(start + size, images)
        yield start, end
        start, size = end, min(4 * size, BLOCK)


def best_of(
    node: Node, operands: Operands, places_N: NDArray[np.int32], top: int, among: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Array]:
    """Return the same of the images with the ids `among` alone."""
    numbers = numbers_of(node, operands, among)
    return _best([(among[numbers > 0], numbers[numbers > 0])], places_N, top)


def numbers_of(node: Node, operands: Operands, rows: Rows) -> Array:
    """Return the whole numbers of an expression for some images."""
    return _numbers(node, operands, rows, _type(degree(node)))


def degree(node: Node) -> int:
    """Return how many labels an expression has, filters not counted: its score is N / 255^degree."""
    match node:
        case Label():
            return 1
        case Not(item):
            return degree(item)
        case All(items) | Any(items):
            return sum(map(degree, items))
        case ScoreFilter() | FactFilter():
            return 0


def _numbers(node: Node, operands: Operands, rows: Rows, kind: type[Array]) -> Array:
    match node:
        case Label(id):
            return operands.codes(id)[rows].astype(kind)
        case ScoreFilter():
            return _compared(operands.codes(node.label)[rows], node).astype(kind)
        case FactFilter():
            return operands.holds(node)[rows].astype(kind)
        case Not(item):
            return _rest(item, operands, rows, kind)
        case All(items):
            product = _numbers(items[0], operands, rows, kind)
            for item in items[1:]:
                product *= _numbers(item, operands, rows, kind)
            return product
        case Any(items):
            product = _rest(items[0], operands, rows, kind)
            for item in items[1:]:
                product *= _rest(item, operands, rows, kind)
            return kind(ranking.whole(degree(node))) - product


def _rest(node: Node, operands: Operands, rows: Rows, kind: type[Array]) -> Array:
    """Return what is missing from an expression's score to certainty."""
    return kind(ranking.whole(degree(node))) - _numbers(node, operands, rows, kind)


def _type(degree: int) -> type[Array]:
    """Return the narrowest type for whole numbers up to 255^degree; a double is exact up to six labels."""
    return np.uint16 if degree <= 2 else np.uint32 if degree <= 4 else np.float64


def _compared(codes: NDArray[np.uint8], node: ScoreFilter) -> NDArray[np.bool_]:
    code = Fraction(node.value) * ranking.LEVELS
    holds: NDArray[np.bool_]
    match node.operator:
        case ">=":
            holds = codes >= ceil(code)
        case ">":
            holds = codes > floor(code)
        case "<=":
            holds = codes <= floor(code)
        case "<":
            holds = codes < ceil(code)
        case _:
            # few numbers are exactly the probability of a code: equal to one is what is stored for it
            holds = codes == round(code)
    return holds


def _best(
    found: list[tuple[NDArray[np.int64], Array]], places_N: NDArray[np.int32], top: int
) -> tuple[NDArray[np.int64], Array]:
    """Return ids and numbers of the `top` best of what was found, best first, ties by place."""
    ids, numbers = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if len(ids) > top:
        # doubles: NumPy partitions them several times as fast as numbers of 16 bits
        wide = numbers.astype(np.float64)
        chosen = wide >= np.partition(wide, -top)[-top]
        ids, numbers = ids[chosen], numbers[chosen]
    order = np.lexsort((places_N[ids], -numbers.astype(np.float64)))[:top]
    return ids[order], numbers[order]
