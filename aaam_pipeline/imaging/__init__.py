"""Floor 2: pictures, from a file's bytes to pixels; never loads torch."""

# about 179 megapixels, Pillow's own limit: above it a small file could fill the memory
MAX_PIXELS = 178_956_970
