"""Which maxima a method's scores are divided by (`formats.scaling`): the training or the validation images'.

Shapes: N training images, V validation images, L labels.

Inductive: what an image gets depends on no image that is annotated with it. Published code takes the maxima over the
test images instead (docs/methods.md).
"""

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.scaling import Scaling, scaled
from aaam_pipeline.metrics.annotation import evaluate, f1_at_k

MOST = 10_000
"""Training images that are scored for their maxima at most: every second, or third, ... of more."""


def sampled(images: int) -> slice:
    """Return which of so many training images are scored for their maxima."""
    return slice(None, None, max(1, -(-images // MOST)))


def choose_scaling(
    train_NL: NDArray[np.floating], val_VL: NDArray[np.floating], targets_VL: NDArray[np.integer], k: int
) -> Scaling:
    """Return the maxima with the better F1 of P@k and R@k on validation; of equal ones those of the training images.

    A validation image is divided by the maxima of the half of validation that it is not in, for these maxima would
    otherwise be of the very images that they are judged by.
    """
    train_L, val_L = (scores.max(0, initial=0).astype(np.float64) for scores in (train_NL, val_VL))
    halves = (slice(0, None, 2), slice(1, None, 2))
    by_val_VL = np.empty(val_VL.shape)
    for half, other in (halves, halves[::-1]):
        by_val_VL[half] = scaled(val_VL[half], val_VL[other].max(0, initial=0))
    f1 = {
        name: f1_at_k(evaluate(each_VL, targets_VL, k))
        for name, each_VL in (("train", scaled(val_VL, train_L)), ("val", by_val_VL))
    }
    if f1["val"] > f1["train"]:
        return Scaling("val", val_L.tolist())
    return Scaling("train", train_L.tolist())
