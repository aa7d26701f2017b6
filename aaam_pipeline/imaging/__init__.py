"""Pictures, from a file's bytes to pixels: decoding, EXIF, colour, resizing, thumbnails. Never loads torch."""

from typing import Literal

# 268 megapixels, above what cameras make: 1.1 GB at the four bytes a pixel that Pillow takes
MAX_PIXELS = 1 << 28
# how pixels are made where a picture changes its size; both look at all pixels of the original that count
Interpolation = Literal["bilinear", "bicubic"]
