"""Images like photographs, unlike others, and fitting a query, best first.

Shapes: D embedding.

One direction stands for all photographs (Rocchio 1971): the sum of the unit vectors of those that hits shall be like,
as a unit vector, less `UNLIKE_WEIGHT` times that of those that they shall be unlike. An image's score is its cosine
with that direction; with a query it is the product of that cosine and the query's score, and only images for which
both are above 0 are hits.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.search.ranker import RankedImage

if TYPE_CHECKING:
    from aaam_pipeline.index.vectors import Vectors

UNLIKE_WEIGHT = 0.5
DEPTH = 1000

Rank = Callable[[int, Sequence[int] | None], list[RankedImage]]
"""Returns the best images of a query, at most so many, of all or of those with the ids given."""


def direction(like: Sequence[NDArray[np.floating]], unlike: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    """Return the unit vector (D,) that stands for photographs to be like, and others to be unlike, each (D,)."""
    direction_D = _unit(np.sum([_unit(each) for each in like], axis=0))
    if unlike:
        direction_D = _unit(direction_D - UNLIKE_WEIGHT * _unit(np.sum([_unit(each) for each in unlike], axis=0)))
    return direction_D.astype(np.float32)


def nearest(vectors: "Vectors", direction_D: NDArray[np.float32], top: int, own: set[int]) -> list[RankedImage]:
    """Return the `top` images nearest to a direction, without those of `own`, by id; path ranks are not filled in.

    They are more than `top` where others are as near as the last.
    """
    found = sorted(each for each in vectors.nearest(direction_D, top + len(own)) if each[0] not in own)
    return [RankedImage(id, cosine, 0, {}) for id, cosine in found]


def fitting(
    vectors: "Vectors", direction_D: NDArray[np.float32], rank: Rank, top: int, own: set[int]
) -> list[RankedImage]:
    """Return the `top` images by the product of cosine and query score, without those of `own`.

    The threshold algorithm (Fagin, Lotem and Naor 2003): the nearest images and those that fit the query best are
    looked at, ever deeper, until an image in neither list could not be among the best.
    """
    depth = max(DEPTH, 4 * top)
    while True:
        near = vectors.nearest(direction_D, depth, exact=True)
        fits = rank(depth, None)
        # of an image in neither list, the score is at most this
        bound = max(near[-1][1], 0.0) * fits[-1].score if fits else 0.0
        everything = len(fits) < depth or len(near) < depth
        known = {image.id for image in fits}
        fits += rank(depth, [id for id, _ in near if id not in known])
        fits = [image for image in fits if image.id not in own]
        cosines = vectors.cosines([image.id for image in fits], direction_D)
        both = [image._replace(score=image.score * float(cosine)) for image, cosine in zip(fits, cosines, strict=True)]
        best = sorted((image for image in both if image.score > 0), key=lambda image: (-image.score, image.path_rank))
        best = best[:top]
        if everything or bound == 0 or (len(best) == top and best[-1].score > bound):
            return best
        depth *= 8


def _unit(vector_D: NDArray[np.floating]) -> NDArray[np.float64]:
    wide_D = np.asarray(vector_D, dtype=np.float64)
    unit_D: NDArray[np.float64] = wide_D / max(float(np.linalg.norm(wide_D)), 1e-12)
    return unit_D
