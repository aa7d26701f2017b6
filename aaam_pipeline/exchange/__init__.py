"""Keywords into files and out of them, and annotations in the formats of other programs."""
