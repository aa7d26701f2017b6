"""Speed, always as a ratio within one run: `make bench`."""
