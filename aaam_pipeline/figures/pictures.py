"""The pictures in a figure: test images of a prepared data set, as a viewer would show the originals.

Shapes: N images, L labels; H x W a picture as it is shown.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import ImageError, UsageError
from aaam_pipeline.datasets.prepared import Split, read_labels, read_split
from aaam_pipeline.imaging.thumbnails import thumbnail

# the longer side; an inch and a half of print at 300 dpi
SIDE = 480


class Pictures(NamedTuple):
    """The test split of a prepared data set, and where in it an image is."""

    split: Split
    rows: dict[str, int]

    def row(self, image_id: str) -> int:
        """Return an image's row in the split.

        Raises:
            UsageError: it is not there.
        """
        if image_id not in self.rows:
            raise UsageError(
                f"no test image {image_id!r} in the prepared data set; its first is {next(iter(self.rows))!r}"
            )
        return self.rows[image_id]

    def show(self, image_id: str) -> NDArray[np.uint8]:
        """Return a picture, (H, W, 3): the original if it can be read, else the square that the network sees."""
        row = self.row(image_id)
        try:
            return np.asarray(thumbnail(self.split.paths[row].read_bytes(), SIDE, enlarge=True))
        except (OSError, ImageError):
            return np.asarray(self.split.pixels_NSS3[row])


def open_test(prepared: Path) -> Pictures:
    """Open the test split of a prepared data set.

    Raises:
        UsageError, DatasetError: it is no prepared data set, or a damaged one.
    """
    read_labels(prepared)
    split = read_split(prepared, "test")
    return Pictures(split, {image_id: row for row, image_id in enumerate(split.image_ids)})


def order_by_rise(
    before_NL: NDArray[np.floating], after_NL: NDArray[np.floating], targets_NL: NDArray[np.integer]
) -> list[int]:
    """Order images by how far a hard label of theirs rises, the farthest first; of equal ones those with more labels.

    A label is hard for an image if it is relevant, and ranked below as many labels as are relevant.
    """
    relevant_NL = targets_NL > 0
    rise_NL = np.where(relevant_NL, np.asarray(after_NL, np.float64) - before_NL, -1.0)
    rise_N = np.where(_hard(before_NL, relevant_NL), rise_NL, -1.0).max(axis=1, initial=-1.0)
    return [int(row) for row in np.lexsort([-relevant_NL.sum(1), -rise_N])]


def _hard(scores_NL: NDArray[np.floating], relevant_NL: NDArray[np.bool_]) -> NDArray[np.bool_]:
    order_NL = np.argsort(-np.asarray(scores_NL, np.float64), axis=1, kind="stable")
    hard_NL: NDArray[np.bool_] = relevant_NL & (order_NL.argsort(axis=1) >= relevant_NL.sum(1)[:, None])
    return hard_NL


def find_rows(image_ids: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return the positions of the images that somebody chose.

    Raises:
        UsageError: one is not among `image_ids`.
    """
    positions = {image_id: position for position, image_id in enumerate(image_ids)}
    for image_id in wanted:
        if image_id not in positions:
            few = ", ".join(image_ids[:10]) + (", ..." if len(image_ids) > 10 else "")
            raise UsageError(f"no image {image_id!r} there; there are {few}")
    return [positions[image_id] for image_id in wanted]
