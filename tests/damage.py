"""Damage to a file, at places spread over all of it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

PLACES = 200


def flipped(path: Path, places: int = PLACES) -> Iterator[int]:
    """Flip one bit of a file at each of `places`, its first and last bytes among them; mended afterwards."""
    content, chance = path.read_bytes(), np.random.default_rng(4)
    for place in np.linspace(0, len(content) - 1, places).astype(int):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(chance.integers(8))
        path.write_bytes(damaged)
        yield int(place)
    path.write_bytes(content)


def truncated(path: Path, places: int = PLACES) -> Iterator[int]:
    """Cut a file off at each of `places`, from nothing to all but two bytes; mended afterwards."""
    content = path.read_bytes()
    for length in np.linspace(0, len(content) - 2, places).astype(int):
        path.write_bytes(content[:length])
        yield int(length)
    path.write_bytes(content)
