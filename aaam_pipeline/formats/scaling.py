"""Scores divided by each label's maximum over other images, before an image's k best labels are taken.

Shapes: N images, L labels.

A rare label seldom gets a high score, so it seldom comes among an image's best. Divided by its maximum, it does where
its score is high for it. A label ranks the images as before. `metrics.scaling` chooses the maxima.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray


class Scaling(msgspec.Struct, frozen=True):
    """`split`: the images that the maxima are of; `maxima`: the highest score of each label there, (L,)."""

    split: Literal["train", "val"]
    maxima: list[Annotated[float, Meta(ge=0)]]


def scaled(scores_NL: NDArray[np.floating], maxima: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    """Return scores divided by the maximum of their label, (N, L); those of a label whose maximum is 0 as they are."""
    maxima_L = np.asarray(maxima, np.float64)
    return np.asarray(scores_NL, np.float64) / np.where(maxima_L > 0, maxima_L, 1)
