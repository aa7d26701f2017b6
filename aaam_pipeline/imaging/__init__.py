"""Pictures, from a file's bytes to pixels: decoding, EXIF, colour, resizing, thumbnails. Never loads torch."""

# 268 megapixels, above what cameras make: 1.1 GB at the four bytes a pixel that Pillow takes
MAX_PIXELS = 1 << 28
