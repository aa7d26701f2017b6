"""A perceptual hash: 256 bits of what a picture looks like, so that copies of it are found whatever model annotated it.

The signs of the 256 lowest frequencies of the picture's brightness, but for its mean (64 x 64 pixels, discrete cosine
transform), in zigzag order. pHash (Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions) and
PDQ (Facebook 2019, The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm) take a square of
frequencies and compare them with their median. PDQ's find about as many copies (`python -m benchmarks duplicates`); its
library has no wheels for Linux.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling

BITS = 256
SIDE = 64
# In a picture with content nearly all of the amplitudes are above one step of grey: at least 190 of 256 in each of
# 22,700 photographs and drawings. In a black one none is, in a clear sky or an empty page fewer than 30: the other
# signs are those of noise, or equal in every flat picture.
NOISE, ENOUGH = 1.0, BITS // 2
SIMILARITY = 0.765
"""Share of equal bits of what is nearly the same: at most 60 of 256 differ. Measured in docs/duplicates.md."""


def _lowest() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the frequencies that are taken, by their sum, without the mean."""
    order = sorted((row + column, row, column) for row in range(SIDE) for column in range(SIDE))[1 : BITS + 1]
    return np.array([row for _, row, _ in order]), np.array([column for _, _, column in order])


ROWS, COLUMNS = _lowest()
_FREQUENCIES, _POSITIONS = np.arange(max(*ROWS, *COLUMNS) + 1)[:, None], np.arange(SIDE)
# the transform (DCT-II) of a line of 64 pixels, orthonormal but for the mean
TRANSFORM = (np.sqrt(2 / SIDE) * np.cos(np.pi / SIDE * _FREQUENCIES * (_POSITIONS + 0.5))).astype(np.float32)


def perceptual_hash(pixels_SS3: NDArray[np.uint8]) -> str | None:
    """Return the hash, 64 hexadecimal digits, of a picture squashed to a square of S x S, uint8 RGB; S of 32 or more.

    Pictures that look alike have hashes that differ in few bits, whatever S is. None: the picture is flat (one colour,
    a clear sky, an empty page), and a hash would say nothing about it.
    """
    grey_64 = np.asarray(small_grey(pixels_SS3), dtype=np.float32)
    amplitudes = (TRANSFORM @ grey_64 @ TRANSFORM.T)[ROWS, COLUMNS]
    if np.count_nonzero(np.abs(amplitudes) > NOISE) < ENOUGH:
        return None
    return np.packbits(amplitudes > 0).tobytes().hex()


def small_grey(pixels_SS3: NDArray[np.uint8]) -> Image.Image:
    """Return the brightness of a picture, 64 x 64."""
    size = len(pixels_SS3)
    # without copying the pixels, and averaging blocks first: half the time
    picture = Image.frombuffer("RGB", (size, size), np.ascontiguousarray(pixels_SS3), "raw", "RGB", 0, 1)
    factor = max(size // SIDE, 1)
    return picture.reduce(factor).convert("L").resize((SIDE, SIDE), Resampling.BILINEAR, (0, 0, *2 * (size / factor,)))


def distance(similarity: float = SIMILARITY) -> int:
    """Return how many bits of two hashes that are so similar may differ."""
    # 0.765 of 256 bits is a little less than 196, whatever the last digit of a product
    return int((1 - similarity) * BITS + 1e-6)
