"""How a query ranks images: stated once, used by the index, by search, by `evaluate` and by the tests.

Shapes: N images, L labels, Q labels of a query.

A score is one byte: a label's probability is code / 255. Every expression of a query has a score in [0, 1]:

    label            its stored probability
    a b   (and)      product of the scores
    a|b   (or)       1 - (1 - a)(1 - b)
    -a    (not)      1 - a
    filter           1 where it holds, else 0

An image with a score above 0 is a hit; the best come first, ties are broken by the order of the images. So that equal
scores are equal, they are compared as whole numbers: an expression of n labels (its degree) has N in [0, 255^n], a
double, which is exact up to six labels, and its score is N / 255^n:

    label            the code, n = 1
    a b              N_a N_b, n = n_a + n_b
    a|b              255^n - (255^n_a - N_a)(255^n_b - N_b), n = n_a + n_b
    -a               255^n - N_a, n = n_a
    filter           0 or 1, n = 0
"""

import numpy as np
from numpy.typing import NDArray

LEVELS = 255
MAX_DEGREE = 120
"""Labels of a query: the product of more codes would exceed the range of a double."""


def denominator(degree: int) -> float:
    """Return 255^degree: the score of an expression of that degree is its whole number N divided by this."""
    return float(LEVELS**degree)


def encode(scores_NL: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return probabilities in [0, 1] as bytes, rounded to the nearest of 256 levels."""
    return np.rint(np.asarray(scores_NL, dtype=np.float32) * LEVELS).clip(0, LEVELS).astype(np.uint8)


def conjunction(codes_NQ: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return each image's score, (N,) in [0, 1], for the query that wants all Q labels."""
    product: NDArray[np.float64] = np.prod(codes_NQ, axis=1, dtype=np.float64)
    return product / denominator(codes_NQ.shape[1])


def rank(codes_NQ: NDArray[np.uint8], top: int) -> NDArray[np.intp]:
    """Return the ids of the `top` best images, best first, ties by id."""
    order: NDArray[np.intp] = np.argsort(-conjunction(codes_NQ), kind="stable")
    return order[:top]
