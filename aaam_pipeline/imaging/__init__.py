"""Pictures, from a file's bytes to pixels: decoding, EXIF, colour, resizing."""
