"""Two prepared splits as one, without a copy of their pictures.

Shapes: N images, B rows, S side.
"""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.datasets.prepared import Split

Pixels = NDArray[np.uint8]


class JoinedPixels:
    """The pictures of several (memory-mapped) arrays, uint8 (N, S, S, 3); rows are read when they are asked for."""

    def __init__(self, parts: list[Pixels]) -> None:
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])
        self.shape: tuple[int, ...] = (int(self.ends[-1]), *parts[0].shape[1:])
        self.nbytes = sum(part.nbytes for part in parts)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Pixels:
        """Read the pictures of some rows, a slice or an array of their numbers."""
        rows_B = np.arange(len(self))[rows]
        part_B = np.searchsorted(self.ends, rows_B, side="right")
        pixels_BSS3 = np.empty((len(rows_B), *self.shape[1:]), np.uint8)
        for number, (part, end) in enumerate(zip(self.parts, self.ends, strict=True)):
            pixels_BSS3[part_B == number] = part[rows_B[part_B == number] - (end - len(part))]
        return pixels_BSS3


def joined(first: Split, second: Split) -> Split:
    """Return the images of both splits, those of the first one first."""
    return Split(
        first.image_ids + second.image_ids,
        first.paths + second.paths,
        cast(Pixels, JoinedPixels([first.pixels_NSS3, second.pixels_NSS3])),
        np.concatenate([first.targets_NL, second.targets_NL]),
    )
