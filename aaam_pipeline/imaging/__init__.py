"""Pictures, from a file's bytes to pixels: decoding, EXIF, colour, resizing, thumbnails. Never loads torch."""

# about 179 megapixels, Pillow's own limit: above it a small file could fill the memory
MAX_PIXELS = 178_956_970
