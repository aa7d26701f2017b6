"""From a random generator to a finished picture and its labels.

The kinds of scene, and what is found in each: that is where the labels' dependence on each other comes from.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from aaam_pipeline.datasets.scenes import backdrops, places
from aaam_pipeline.datasets.scenes.canvas import Canvas
from aaam_pipeline.datasets.scenes.furnish import Place, furnish
from aaam_pipeline.datasets.scenes.light import draw_light, photograph

LABELS = (
    "sky", "clouds", "sun", "night", "sea", "sand", "grass", "road", "mountain", "snow", "tree", "flower", "building",
    "fence", "lamp", "person", "football", "car", "bicycle", "boat", "bird", "dog", "kite", "umbrella",
)  # fmt: skip


class Some(NamedTuple):
    """A thing that may be in a scene."""

    thing: str
    chance: float
    most: int = 1


class Kind(NamedTuple):
    """A kind of scene.

    `ground`: what lies below the horizon: pitch, grass, sand, road, snow, paving, shore (sand and sea) or sea. The rest
    are chances: `open_sky`: that the sky is seen; otherwise something closes the view, or the camera looks down;
    `behind`: of each far layer (ridge, trees, houses, blocks); `winter`: that the ground lies under snow.
    """

    weight: float
    ground: str
    open_sky: float
    night: float
    behind: dict[str, float]
    things: tuple[Some, ...]
    road: float = 0.0
    winter: float = 0.0


KINDS: dict[str, Kind] = {
    "match": Kind(0.14, "pitch", 0.45, 0.05, {"trees": 0.5, "houses": 0.15, "blocks": 0.1, "ridge": 0.05}, (
        Some("person", 0.93, 6), Some("football", 0.84), Some("fence", 0.3), Some("white_blob", 0.12),
        Some("bird", 0.07, 2), Some("flag", 0.15), Some("beach_ball", 0.04), Some("dog", 0.03))),
    "park": Kind(0.16, "grass", 0.55, 0.08, {"trees": 0.55, "houses": 0.15, "blocks": 0.15}, (
        Some("tree", 0.7, 4), Some("person", 0.62, 3), Some("dog", 0.32), Some("flower", 0.34, 6), Some("lamp", 0.2, 2),
        Some("bicycle", 0.28), Some("football", 0.2), Some("kite", 0.09), Some("bird", 0.22, 3), Some("fence", 0.12),
        Some("bush", 0.3, 3), Some("white_blob", 0.2), Some("beach_ball", 0.12), Some("umbrella", 0.07),
        Some("leaves", 0.1), Some("post", 0.1)), road=0.3, winter=0.12),
    "beach": Kind(0.15, "shore", 0.88, 0.05, {"ridge": 0.15}, (
        Some("person", 0.6, 4), Some("parasol", 0.38, 4), Some("kite", 0.36, 2), Some("boat", 0.3, 2),
        Some("bird", 0.3, 5), Some("dog", 0.15), Some("tree", 0.2, 2), Some("football", 0.08), Some("flag", 0.15),
        Some("beach_ball", 0.2), Some("white_blob", 0.15), Some("buoy", 0.1))),
    "harbour": Kind(0.11, "sea", 0.9, 0.22, {"ridge": 0.3, "houses": 0.35, "blocks": 0.15, "trees": 0.15}, (
        Some("boat", 0.85, 4), Some("bird", 0.38, 5), Some("buoy", 0.25, 2), Some("kite", 0.04))),
    "street": Kind(0.16, "paving", 0.5, 0.26, {"houses": 0.6, "blocks": 0.6}, (
        Some("car", 0.72, 3), Some("person", 0.6, 3), Some("lamp", 0.45, 2), Some("bicycle", 0.28),
        Some("tree", 0.3, 2), Some("dog", 0.12), Some("umbrella", 0.16, 2), Some("bird", 0.1, 3), Some("post", 0.3, 2),
        Some("fence", 0.08), Some("white_blob", 0.08), Some("flag", 0.06)), road=0.9, winter=0.06),
    "country": Kind(0.13, "grass", 0.75, 0.04, {"ridge": 0.3, "trees": 0.6, "houses": 0.2}, (
        Some("tree", 0.6, 3), Some("fence", 0.45), Some("flower", 0.35, 6), Some("sheep", 0.22, 3),
        Some("bird", 0.28, 5), Some("dog", 0.15), Some("person", 0.2, 2), Some("bicycle", 0.15), Some("car", 0.14),
        Some("kite", 0.06), Some("bush", 0.3, 3), Some("leaves", 0.08), Some("white_blob", 0.12)),
        road=0.4, winter=0.15),
    "mountain": Kind(0.09, "grass", 0.95, 0.05, {"ridge": 1.0, "trees": 0.4}, (
        Some("tree", 0.6, 5), Some("person", 0.22, 2), Some("bird", 0.2, 2), Some("dog", 0.08), Some("flower", 0.15, 3),
        Some("fence", 0.08), Some("bush", 0.2, 2), Some("white_blob", 0.2, 2)), road=0.15, winter=0.55),
    "lawn": Kind(0.06, "grass", 0.0, 0.0, {}, (
        Some("football", 0.35), Some("dog", 0.3), Some("bird", 0.3, 4), Some("flower", 0.4, 5), Some("person", 0.3),
        Some("white_blob", 0.25), Some("beach_ball", 0.2), Some("leaves", 0.1), Some("fence", 0.2),
        Some("bicycle", 0.1))),
}  # fmt: skip

STRAYS = ("football", "kite", "dog", "bicycle", "umbrella", "bird", "person", "flower", "car", "lamp", "beach_ball")
"""Things that now and then turn up where nobody expects them."""

STRAY_CHANCE = 0.1

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
    furnish(canvas, rng, Place(shore, open_sky, winter, kind.ground, _cast(rng, kind)))
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
    _paint_buildings(canvas, rng, kind, open_sky)
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


def _paint_buildings(canvas: Canvas, rng: np.random.Generator, kind: Kind, open_sky: bool) -> None:
    """Put a row of buildings behind the scene: houses here and there, or a closed front of blocks."""
    if float(canvas.skyline.max()) < 1:
        return
    houses, blocks = kind.behind.get("houses", 0), kind.behind.get("blocks", 0)
    tall = bool(rng.random() < blocks / max(houses + blocks, 1e-9))
    if rng.random() >= max(houses, blocks):
        return
    closed = not open_sky or rng.random() < 0.4
    px = canvas.size / float(rng.uniform(14, 34) if kind.ground in ("paving", "sea") else rng.uniform(35, 80))
    x = float(rng.uniform(-0.1, 0.1)) * canvas.size
    while x < canvas.size * 1.1:
        sprite = places.building(rng, px * float(rng.uniform(0.85, 1.15)), canvas.light.night, tall)
        half = sprite.body.shape[1] / 2
        y = canvas.horizon_at(x + half) + px * 0.9
        canvas.stamp(sprite, x + half, y, "building", 0.35)
        x += 2 * half * (0.95 if closed else float(rng.uniform(1.1, 3.5)))
