"""How a query of several labels ranks images: stated once, used by the index, by `evaluate` and by the tests.

Shapes: N images, L labels, Q labels of a query.

A score is stored in one byte (DESIGN: one UTINYINT column a label answers in milliseconds per million images). The
score of a conjunction is the product of its labels' probabilities; ties go to the image that comes first.
"""

import numpy as np
from numpy.typing import NDArray

LEVELS = 255


def encode(scores_NL: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return probabilities in [0, 1] as bytes, rounded to the nearest of 256 levels."""
    return np.rint(np.asarray(scores_NL, dtype=np.float32) * LEVELS).clip(0, LEVELS).astype(np.uint8)


def conjunction(codes_NQ: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return each image's score, (N,) in [0, 1], for the query that wants all Q labels."""
    product: NDArray[np.float64] = np.prod(codes_NQ, axis=1, dtype=np.float64)
    return product / float(LEVELS ** codes_NQ.shape[1])


def rank(codes_NQ: NDArray[np.uint8], top: int) -> NDArray[np.intp]:
    """Return the ids of the `top` best images, best first, ties by id."""
    order: NDArray[np.intp] = np.argsort(-conjunction(codes_NQ), kind="stable")
    return order[:top]
