"""Floor 2: pictures, from a file's bytes to pixels; never loads torch."""
