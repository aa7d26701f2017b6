"""Noise that everything is painted with: periodic tiles made once in a process, then only looked up."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""Shape (rows, columns), float32."""

TILE = 256
"""Side of every tile in texels; a power of two, so that wrapping is a bit mask."""

_BANK_SEED = 20_240_117


def _fractal(rng: np.random.Generator, steepness: float, stretch: float = 1.0) -> Plane:
    """Make a periodic (TILE, TILE) plane of mean 0 and deviation 1 whose spectrum falls as f^-steepness.

    `stretch` above 1 draws the grain out along the columns (blades), below 1 along the rows (waves).
    """
    fy, fx = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None, :]
    radius = np.hypot(fy * stretch, fx / stretch)
    radius[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE))) * radius**-steepness
    spectrum[0, 0] = 0.0
    plane = np.fft.irfft2(spectrum, s=(TILE, TILE))
    return np.asarray(plane / plane.std(), np.float32)


@cache
def bank() -> dict[str, Plane]:
    """Return the tiles by name; the same in every process, whatever the data set's seed."""
    rng = np.random.default_rng(_BANK_SEED)
    return {
        "cloud": _fractal(rng, 1.7, 0.75),
        "soft": _fractal(rng, 1.6),
        "rough": _fractal(rng, 1.0),
        "fine": _fractal(rng, 0.5),
        "white": _fractal(rng, 0.0),
        "blades": _fractal(rng, 0.7, 1.8),
        "waves": _fractal(rng, 0.9, 0.5),
    }


def sample(name: str, u: NDArray[np.number], v: NDArray[np.number]) -> Plane:
    """Look a tile up at texel columns `u` and rows `v` (broadcast, any values: the tile repeats)."""
    cells = (v.astype(np.int32) & (TILE - 1)) * TILE + (u.astype(np.int32) & (TILE - 1))
    found: Plane = bank()[name].ravel().take(cells, mode="clip")
    return found


def crop(rng: np.random.Generator, name: str, rows: int, columns: int, zoom: float = 1.0) -> Plane:
    """Cut a random (rows, columns) piece out of a tile, `zoom` texels apart."""
    top, left = rng.integers(0, TILE, 2)
    return sample(name, left + np.arange(columns) * zoom, (top + np.arange(rows) * zoom)[:, None])


@cache
def _grain() -> NDArray[np.float32]:
    """Return a tile (TILE, TILE, 3) of a sensor's noise: mostly grey, a little coloured."""
    rng = np.random.default_rng(_BANK_SEED + 1)
    grey, chroma = rng.standard_normal((TILE, TILE, 1)), rng.standard_normal((TILE, TILE, 3))
    return np.asarray(0.8 * grey + 0.5 * chroma, np.float32)


def grain(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Cut (size, size, 3) out of the sensor's noise, of deviation about 1."""
    top, left = rng.integers(0, TILE, 2)
    rows, columns = (top + np.arange(size)) % TILE, (left + np.arange(size)) % TILE
    return _grain()[np.ix_(rows, columns)]


def line(rng: np.random.Generator, name: str, length: int, zoom: float) -> Plane:
    """Cut a random profile of `length` values out of a tile, `zoom` texels apart, without steps between texels."""
    row = bank()[name][int(rng.integers(TILE))]
    at = rng.integers(TILE) + np.arange(length, dtype=np.float64) * zoom
    return np.asarray(np.interp(at % TILE, np.arange(TILE + 1), np.append(row, row[0])), np.float32)
