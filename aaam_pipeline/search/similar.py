"""Images like photographs, unlike others, and fitting a query, best first.

Shapes: D embedding, P photographs.

One direction stands for all photographs (Rocchio 1971): the sum of the unit vectors of those that are like what is
sought, as a unit vector, less `AWAY` times that of those that are not. An image's score is its cosine with that
direction; with a query it is the product of that cosine and the query's score, and only images for which both are
above 0 are hits.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.search.query import Node

if TYPE_CHECKING:
    from aaam_pipeline.search.engine import Index

AWAY = 0.5
"""How strongly the direction points away from what is not sought."""
DEPTH = 1000


class Ranked(NamedTuple):
    """An image that was found: its score, its place among images of equal score, its scores by label."""

    id: int
    score: float
    place: int
    label_scores: dict[str, float]


def direction(like: Sequence[NDArray[np.floating]], unlike: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    """Return the unit vector (D,) that stands for photographs to be like, and others to be unlike, each (D,)."""
    sought_D = _unit(np.sum([_unit(each) for each in like], axis=0))
    if unlike:
        sought_D = _unit(sought_D - AWAY * _unit(np.sum([_unit(each) for each in unlike], axis=0)))
    return sought_D.astype(np.float32)


def nearest(index: "Index", direction_D: NDArray[np.float32], top: int, own: set[int]) -> list[tuple[int, float]]:
    """Return (id, cosine) of the `top` images nearest to a direction, without those of `own`, by id.

    They are more than `top` where others are as near as the last.
    """
    return sorted(each for each in index.vectors.nearest(direction_D, top + len(own)) if each[0] not in own)


def fitting(index: "Index", direction_D: NDArray[np.float32], node: Node, top: int, own: set[int]) -> list[Ranked]:
    """Return the `top` images by the product of cosine and query score, without those of `own`.

    The threshold algorithm (Fagin, Lotem and Naor 2003): the nearest images and those that fit the query best are
    looked at, ever deeper, until an image in neither list could not be among the best.
    """
    depth = max(DEPTH, 4 * top)
    while True:
        near = index.vectors.nearest(direction_D, depth, exact=True)
        fits = index.ranked(node, depth)
        # of an image in neither list, the score is at most this
        bound = max(near[-1][1], 0.0) * fits[-1].score if fits else 0.0
        everything = len(fits) < depth or len(near) >= index.manifest.images
        known = {each.id for each in fits}
        fits += index.ranked(node, depth, among=[id for id, _ in near if id not in known])
        fits = [each for each in fits if each.id not in own]
        cosines = index.vectors.cosines([each.id for each in fits], direction_D)
        both = [each._replace(score=each.score * float(cosine)) for each, cosine in zip(fits, cosines, strict=True)]
        best = sorted((each for each in both if each.score > 0), key=_order)[:top]
        if everything or bound == 0 or (len(best) == top and best[-1].score > bound):
            return best
        depth *= 8


def _order(each: Ranked) -> tuple[float, int]:
    return -each.score, each.place


def _unit(vector_D: NDArray[np.floating]) -> NDArray[np.float64]:
    wide_D = np.asarray(vector_D, dtype=np.float64)
    unit_D: NDArray[np.float64] = wide_D / max(float(np.linalg.norm(wide_D)), 1e-12)
    return unit_D
