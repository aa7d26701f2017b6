"""The pictures in a figure: test images of a prepared data set, as a viewer would show the originals.

Shapes: N images, L labels; H x W a picture as it is shown.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import ImageError, UsageError
from aaam_pipeline.datasets.prepared import Split
from aaam_pipeline.imaging.thumbnails import thumbnail

# the longer side; an inch and a half of print at 300 dpi
SIDE = 480


def show(split: Split, row: int) -> NDArray[np.uint8]:
    """Return a picture, (H, W, 3): the original if it can be read, else the square that the network sees."""
    try:
        return np.asarray(thumbnail(split.paths[row].read_bytes(), SIDE, enlarge=True))
    except (OSError, ImageError):
        return np.asarray(split.pixels_NSS3[row])


def order_by_rise(
    before_NL: NDArray[np.floating], after_NL: NDArray[np.floating], targets_NL: NDArray[np.integer]
) -> list[int]:
    """Order images by how far a hard label of theirs rises, the farthest first; of equal ones those with more labels.

    A label is hard for an image if it is relevant, and ranked below as many labels as are relevant.
    """
    relevant_NL = targets_NL > 0
    rise_NL = np.asarray(after_NL, np.float64) - before_NL
    rank_NL = np.argsort(-np.asarray(before_NL, np.float64), axis=1, kind="stable").argsort(axis=1)
    hard_NL = relevant_NL & (rank_NL >= relevant_NL.sum(1)[:, None])
    rise_N = np.where(hard_NL, rise_NL, -1.0).max(axis=1, initial=-1.0)
    return [int(row) for row in np.lexsort([-relevant_NL.sum(1), -rise_N])]


def find_rows(image_ids: Sequence[str], wanted: Sequence[str], what: str = "image") -> list[int]:
    """Return the positions of the images that somebody chose; `what` names one in messages.

    Raises:
        UsageError: one is not among `image_ids`.
    """
    positions = {image_id: position for position, image_id in enumerate(image_ids)}
    for image_id in wanted:
        if image_id not in positions:
            few = ", ".join(image_ids[:10]) + (", ..." if len(image_ids) > 10 else "")
            raise UsageError(f"no {what} {image_id!r} there; there are {few}")
    return [positions[image_id] for image_id in wanted]
