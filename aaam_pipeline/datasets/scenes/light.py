"""Under which light a scene is seen, and what the camera makes of it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from aaam_pipeline.datasets.scenes import textures

Colours = NDArray[np.float32]
"""Shape (..., 3), float32, 0 to 1 for what the screen can show."""


class Light(NamedTuple):
    """The weather of one picture.

    `sun`: where the light comes from, -1 (far left) to 1; `tint` (3,): what every surface's colour is multiplied by;
    `sky_top`, `sky_low` (3,): the sky's colours overhead and at the horizon, the lower one is also the haze's; `haze`:
    its share in the farthest ground; `shadow`: how dark cast shadows are, 0 (overcast) to 1; `low`: the sun is near the
    horizon, so that shadows are long and colours warm.
    """

    night: bool
    sun: float
    tint: Colours
    sky_top: Colours
    sky_low: Colours
    haze: float
    shadow: float
    low: bool


_Skies = tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...]
"""Colours overhead and at the horizon."""
_FAIR: _Skies = (
    ((0.25, 0.47, 0.82), (0.72, 0.84, 0.94)),
    ((0.36, 0.58, 0.86), (0.80, 0.88, 0.93)),
    ((0.18, 0.36, 0.70), (0.60, 0.76, 0.90)),
)
_GREY: _Skies = (((0.60, 0.64, 0.69), (0.80, 0.82, 0.84)),)
_DUSK: _Skies = (((0.32, 0.36, 0.60), (0.97, 0.66, 0.42)), ((0.50, 0.42, 0.58), (0.99, 0.76, 0.50)))
_NIGHT: _Skies = (((0.02, 0.03, 0.09), (0.09, 0.10, 0.20)), ((0.03, 0.03, 0.06), (0.16, 0.11, 0.12)))


def _jitter(rng: np.random.Generator, colour: tuple[float, float, float], by: float = 0.04) -> Colours:
    return np.clip(np.array(colour) + rng.normal(0, by, 3), 0.01, 0.99).astype(np.float32)


def draw_light(rng: np.random.Generator, night: float) -> Light:
    """Draw the light of one picture; `night` is the chance that it is dark."""
    sun = float(rng.uniform(-1, 1))
    if rng.random() < night:
        top, low = _NIGHT[int(rng.integers(len(_NIGHT)))]
        tint = np.float32(rng.uniform(0.32, 0.52)) * np.array([0.80, 0.88, 1.15], np.float32)
        return Light(True, sun, tint, _jitter(rng, top, 0.01), _jitter(rng, low, 0.02), 0.5, 0.1, False)
    kind = rng.random()
    haze = float(rng.uniform(0.1, 0.75))
    if kind < 0.22:
        skies, bright, hue = _GREY, (0.62, 0.9), (0.97, 1.0, 1.04)
    elif kind < 0.38:
        skies, bright, hue = _DUSK, (0.58, 0.88), (1.15, 0.96, 0.78)
    else:
        skies, bright, hue = _FAIR, (0.82, 1.1), (1.03, 1.0, 0.95)
    top, low = skies[int(rng.integers(len(skies)))]
    tint = (rng.uniform(*bright) * np.array(hue)).astype(np.float32)
    shadow = 0.1 if skies is _GREY else 0.5 if skies is _DUSK else float(rng.uniform(0.3, 0.6))
    return Light(False, sun, tint, _jitter(rng, top), _jitter(rng, low), haze, shadow, skies is _DUSK)


def _expose(rng: np.random.Generator, rgb: Colours, night: bool) -> Colours:
    """Apply exposure, contrast and a wrong white balance, as an automatic camera would."""
    gain = np.exp(rng.normal(0.0, 0.14)) * np.exp(rng.normal(0.0, 0.035, 3))
    contrast = rng.uniform(0.85, 1.2)
    pivot = 0.2 if night else 0.5
    return np.asarray((rgb * gain.astype(np.float32) - pivot) * np.float32(contrast) + np.float32(pivot), np.float32)


def _vignette(rng: np.random.Generator, size: int) -> Colours:
    """Return the (size, size, 1) fall-off of the lens towards the corners."""
    edge = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    return (1 - np.float32(rng.uniform(0, 0.16)) * (edge[:, None] + edge[None, :]))[:, :, None]


def photograph(rng: np.random.Generator, rgb: Colours, night: bool) -> Image.Image:
    """Turn (S, S, 3) light into the 8-bit picture: exposure, lens, shake, sensor noise."""
    size = rgb.shape[0]
    seen = np.clip(_expose(rng, rgb, night) * _vignette(rng, size), 0, 1)
    image = Image.fromarray((seen * 255).astype(np.uint8))
    if rng.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.0)) * size / 128))
    strength = rng.uniform(1.5, 6.0) * (1.6 if night else 1.0)
    noisy = np.asarray(image, np.float32) + np.float32(strength) * textures.grain(rng, size)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
