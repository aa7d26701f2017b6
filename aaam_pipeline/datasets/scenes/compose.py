"""From a random generator to a finished picture and its labels."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from aaam_pipeline.datasets.scenes import backdrops, furnish
from aaam_pipeline.datasets.scenes.canvas import Canvas
from aaam_pipeline.datasets.scenes.kinds import KINDS, LABELS, STRAY_CHANCE, STRAYS, Kind
from aaam_pipeline.datasets.scenes.light import draw_light, photograph

FEWEST, MOST = 2, 8
"""How many labels a picture has."""


class Picture(NamedTuple):
    """A finished picture."""

    image: Image.Image
    labels: tuple[str, ...]
    """In the vocabulary's order."""


def compose(rng: np.random.Generator, size: int) -> Picture:
    """Draw one scene of `size` x `size` pixels; all that is random comes from `rng`.

    A picture with too few or too many labels is drawn again: a photograph of nothing would not have been kept.
    """
    while True:
        picture = _compose_any(rng, size)
        if FEWEST <= len(picture.labels) <= MOST:
            return picture


def _compose_any(rng: np.random.Generator, size: int) -> Picture:
    names = list(KINDS)
    weights = np.array([KINDS[name].weight for name in names])
    kind = KINDS[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
    open_sky = bool(rng.random() < kind.open_sky)
    canvas = _set_up(rng, kind, size, open_sky)
    winter = bool(rng.random() < kind.winter)
    shore = _paint_place(canvas, rng, kind, open_sky, winter)
    furnish.furnish(canvas, rng, furnish.Place(shore, open_sky, winter, kind.ground, _cast(rng, kind)))
    labels = canvas.labels() | ({"night"} if canvas.light.night else set())
    image = photograph(rng, canvas.rgb, canvas.light.night)
    return Picture(image, tuple(label for label in LABELS if label in labels))


def _set_up(rng: np.random.Generator, kind: Kind, size: int, open_sky: bool) -> Canvas:
    """Choose the light and where the camera stands."""
    light = draw_light(rng, kind.night)
    if open_sky:
        horizon = rng.uniform(0.28, 0.62) if kind.ground != "sea" else rng.uniform(0.3, 0.65)
    elif kind.behind and kind.ground not in ("sea", "shore") and rng.random() < 0.65:
        horizon = rng.uniform(0.12, 0.34)
    else:
        horizon = rng.uniform(-0.45, -0.08)
    eye = float(np.exp(rng.uniform(np.log(1.5), np.log(4.5))))
    tilt = float(rng.normal(0, 0.025))
    return Canvas(size, light, float(horizon) * size, tilt, eye)


def _paint_place(canvas: Canvas, rng: np.random.Generator, kind: Kind, open_sky: bool, winter: bool) -> float:
    """Paint sky, far layers and ground; return the row where the water ends (0: there is none)."""
    sun = None
    if open_sky:
        backdrops.paint_sky(canvas, rng, 0.5)
        if canvas.light.night:
            if rng.random() < 0.35:
                backdrops.paint_moon(canvas, rng)
        elif canvas.light.shadow > 0.2 and rng.random() < (0.65 if canvas.light.low else 0.17):
            sun = backdrops.paint_sun(canvas, rng)
    else:
        backdrops.paint_wall(canvas, rng)
    _paint_far(canvas, rng, kind, open_sky)
    shore = _paint_ground(canvas, rng, kind, winter, sun)
    furnish.far_buildings(canvas, rng, kind, open_sky)
    return shore


def _paint_far(canvas: Canvas, rng: np.random.Generator, kind: Kind, open_sky: bool) -> None:
    size = canvas.size
    if float(canvas.skyline.max()) < 1:
        return
    if open_sky and rng.random() < kind.behind.get("ridge", 0):
        backdrops.paint_ridge(canvas, rng, float(rng.uniform(0.25, 0.6)) if rng.random() < 0.5 else 0.0)
    trees = kind.behind.get("trees", 0)
    if not open_sky and trees and rng.random() < trees + 0.15:
        backdrops.paint_trees(canvas, rng, size * 0.55, 1.0)
    elif rng.random() < trees:
        backdrops.paint_trees(canvas, rng, size * float(rng.uniform(0.04, 0.16)), float(rng.uniform(0.35, 1.3)))


def _paint_ground(canvas: Canvas, rng: np.random.Generator, kind: Kind, winter: bool, sun: float | None) -> float:
    canvas = canvas.lower()
    size, ground = canvas.size, kind.ground
    middle = float(canvas.skyline.mean())
    if ground in ("shore", "sea"):
        backdrops.paint_ground(canvas, rng, "sand" if ground == "shore" or rng.random() < 0.15 else "paving")
        shore = size * 1.2
        if ground == "shore":
            shore = max(2.0, middle) + float(rng.uniform(0.12, 0.75)) * (size - max(middle, 0))
        elif rng.random() < 0.4:
            shore = size * float(rng.uniform(0.78, 0.95))
        backdrops.paint_sea(canvas, rng, shore, sun)
        return shore
    if ground == "pitch":
        backdrops.paint_pitch(canvas, rng)
    else:
        backdrops.paint_ground(canvas, rng, "snow" if winter else ground)
    if rng.random() < kind.road:
        backdrops.paint_road(canvas, rng, float(rng.uniform(1.2, 3.8)))
    return 0.0


def _cast(rng: np.random.Generator, kind: Kind) -> list[str]:
    """Draw by lot what is in the scene: each thing as often as it is there."""
    cast: list[str] = []
    for some in kind.things:
        if rng.random() < some.chance:
            cast += [some.thing] * int(rng.integers(1, some.most + 1))
    if rng.random() < STRAY_CHANCE:
        cast.append(STRAYS[int(rng.integers(len(STRAYS)))])
    return cast
