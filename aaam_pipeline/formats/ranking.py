"""How a query ranks images: stated once, used by the index, by search, by `evaluate` and by the tests.

Shapes: N images, Q labels of a query.

A stored score is a code of 16 bits on the log-odds scale: code c is the probability with log(p / (1 - p)) =
(c - 32767) * 0.000508, from 6e-8 to 1 - 6e-8, which is what float32 tells apart. So neither likely nor unlikely images
share a code: neighbours differ by 0.05 % of p, or of 1 - p where that is less. 0 and 1 become the nearest of these.

Every expression of a query has a score in [0, 1], computed in float64:

    label            the probability of its code
    a b   (and)      product of the scores
    a|b   (or)       1 - (1 - a)(1 - b)
    -a    (not)      1 - a
    filter           1 where it holds, else 0

1 - a is never a difference where a is a label: it is the probability of the mirrored code. Operands are multiplied in
one order, whatever the order in which they were named, so that equal queries give equal scores; the best come first,
ties are broken by the order of the images.

Every image has some probability of every label, so a hit needs a least score: `LEAST` for a label and for a negation
with labels, 1 for a filter, the product of its operands' for an "and", the smallest of them for an "or". A query of
three labels finds what has a thousandth for each of them in the geometric mean.
"""

import math

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.calibration import sigmoid

LEVELS = 65534
"""The greatest code; half of it is a probability of 0.5."""
LARGEST = 16.64
"""The log-odds of the greatest code: of the greatest float32 below 1, and a little more."""
STEP = 2 * LARGEST / LEVELS
PROBABILITIES: NDArray[np.float64] = sigmoid((np.arange(LEVELS + 1) - LEVELS // 2) * STEP)
"""The probability of each code; that of the opposite stands at `LEVELS` minus the code."""
PROBABILITIES.setflags(write=False)
SMALLEST = 1e-300
"""Least score of a hit of so many labels that the product of theirs would be 0 as a double."""
MAX_DEGREE = 120
"""Labels of a query."""


def encode(scores_NL: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Return probabilities in [0, 1] as codes, rounded to the nearest on the log-odds scale."""
    wide_NL = np.asarray(scores_NL, np.float64).clip(PROBABILITIES[0], PROBABILITIES[-1])
    steps_NL = np.log(wide_NL / (1 - wide_NL)) / STEP
    codes_NL: NDArray[np.uint16] = (np.rint(steps_NL) + LEVELS // 2).clip(0, LEVELS).astype(np.uint16)
    return codes_NL


LEAST = float(PROBABILITIES[encode(np.array(0.001))])
"""The least probability of a hit: 0.001, as it is stored."""

FROM_BYTES: NDArray[np.uint16] = encode(np.arange(256) / 255)
"""The code of each multiple of 1/255, as which indexes of version 4 stored probabilities."""


def decode(codes: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return the probabilities of codes."""
    probabilities: NDArray[np.float64] = PROBABILITIES.take(codes)
    return probabilities


def least_of(labels: int) -> float:
    """Return the least score of a hit for the query that wants so many labels."""
    return max(math.prod([LEAST] * labels), SMALLEST)


def conjunction(codes_NQ: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return each image's score, (N,) in [0, 1], for the query that wants all Q labels, in the order of their ids."""
    product_N = decode(codes_NQ[:, 0])
    for codes_N in codes_NQ.T[1:]:
        product_N *= decode(codes_N)
    return product_N


def rank(codes_NQ: NDArray[np.uint16], top: int) -> NDArray[np.intp]:
    """Return the ids of the `top` best images, best first, ties by id."""
    order: NDArray[np.intp] = np.argsort(-conjunction(codes_NQ), kind="stable")
    return order[:top]
