"""Placing things in a scene: on the ground, on the water or in the air, the far ones first."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from aaam_pipeline.datasets.scenes import moving, places, toys
from aaam_pipeline.datasets.scenes.canvas import Canvas
from aaam_pipeline.datasets.scenes.pen import Sprite, pick


class Place(NamedTuple):
    """Where the things `wanted` are put; `shore`: the row where the water ends, 0 without water."""

    shore: float
    open_sky: bool
    winter: bool
    ground: str
    wanted: list[str]


class _Spot(NamedTuple):
    """Where one thing stands: column and row of its foot, pixels to a metre, distance 0 (near) to 1 (far)."""

    x: float
    y: float
    px: float
    far: float


_STANDING: dict[str, tuple[str, Callable[[np.random.Generator, float], Sprite]]] = {
    "person": ("person", moving.person),
    "dog": ("dog", moving.dog),
    "sheep": ("", moving.sheep),
    "parasol": ("umbrella", toys.parasol),
    "flag": ("", toys.flag),
    "bush": ("", places.bush),
    "post": ("", places.post),
}
"""Things that stand on the ground at their true size and always look the same: label ("" for none), drawing."""
_BALLS = {"football": toys.football, "beach_ball": toys.beach_ball, "white_blob": toys.white_blob}


def furnish(canvas: Canvas, rng: np.random.Generator, place: Place) -> None:
    """Put everything wanted into the picture."""
    spots = [(_spot(canvas, rng, place, thing), thing) for thing in place.wanted]
    for spot, thing in sorted(spots, key=lambda pair: pair[0].y):
        _put(canvas, rng, place, spot, thing)


def _spot(canvas: Canvas, rng: np.random.Generator, place: Place, thing: str) -> _Spot:
    """Choose where a thing stands."""
    size = canvas.size
    x = float(rng.uniform(0.02, 0.98)) * size
    horizon = canvas.horizon_at(x)
    low, high = max(horizon + 0.05 * size, 0.12 * size), size * (1.0 if thing in ("dog", "bird", "lamp") else 1.06)
    if thing in ("boat", "buoy"):
        high = min(place.shore, size * 1.0) if place.shore else high
        low = min(max(horizon + 0.012 * size, 0), high - 1)
    elif place.ground == "shore" and thing != "football":
        low = min(place.shore + 1, size * 0.95)
    near = 1.7 if thing in ("boat", "tree") else 0.6 if thing in ("bicycle", "dog", "flower") else 1.15
    y = low + (high - low) * float(rng.random()) ** near
    far = 1 / (1 + 9 * max(0.0, y - horizon) / size)
    return _Spot(x, y, canvas.scale(x, y), far**2)


def _put(canvas: Canvas, rng: np.random.Generator, place: Place, spot: _Spot, thing: str) -> None:
    """Draw one thing, and whatever comes with it."""
    if thing == "kite":
        _fly_kite(canvas, rng, spot)
    elif thing == "bird":
        _put_bird(canvas, rng, place, spot)
    elif thing in _BALLS:
        _put_ball(canvas, rng, spot, thing)
    elif thing == "boat":
        px = min(spot.px * float(rng.uniform(0.8, 1.4)), canvas.size / 7)
        _float(canvas, moving.boat(rng, px, canvas.light.night), spot, "boat")
    elif thing == "buoy":
        _float(canvas, toys.beach_ball(rng, max(2.5, spot.px * 0.8)), spot, "")
    elif thing == "umbrella":
        _hold_umbrella(canvas, rng, spot)
    elif thing == "flower":
        near = min(max(2.8, spot.px * float(rng.uniform(0.07, 0.18))), 13.0) * canvas.size / 128
        _stand(canvas, places.flowers(rng, max(spot.px, 1), near), spot, "flower")
    elif thing == "fence":
        sprite = places.fence(rng, spot.px, min(canvas.size * float(rng.uniform(0.5, 2.4)) / spot.px, 60))
        _stand(canvas, sprite, spot, "fence")
    elif thing == "leaves":
        _scatter_leaves(canvas, rng)
    elif thing == "car":
        _stand(canvas, moving.car(rng, spot.px, canvas.light.night), spot, "car")
    elif thing == "tree":
        sprite = places.tree(rng, min(spot.px, canvas.size / 6), place.winter, place.ground == "shore")
        _stand(canvas, sprite, spot, "tree")
    elif thing == "bicycle":
        _put_bicycle(canvas, rng, spot)
    elif thing == "lamp":
        _put_lamp(canvas, rng, spot)
    else:
        label, draw = _STANDING[thing]
        _stand(canvas, draw(rng, spot.px), spot, label)


def _put_bicycle(canvas: Canvas, rng: np.random.Generator, spot: _Spot) -> None:
    sprite = moving.bicycle(rng, spot.px)
    if rng.random() < 0.45:
        rider = moving.person(rng, spot.px, "ride")
        canvas.stamp(rider, spot.x - 0.15 * spot.px, spot.y - 0.12 * spot.px, "person", spot.far)
    _stand(canvas, sprite, spot, "bicycle")


def _put_lamp(canvas: Canvas, rng: np.random.Generator, spot: _Spot) -> None:
    if rng.random() < 0.85:
        spot = spot._replace(px=min(spot.px, spot.y / 4.6))  # A pole without its head is no lamp to most people.
    _stand(canvas, places.lamp(rng, spot.px, canvas.light.night), spot, "lamp")
    if canvas.light.night:
        top = spot.y - 4.2 * spot.px
        canvas.glow(spot.x, top, max(4.0, spot.px * 1.6), np.array((0.45, 0.36, 0.2), np.float32))
        canvas.glow(spot.x, spot.y, max(6.0, spot.px * 3.0), np.array((0.12, 0.09, 0.05), np.float32))


def _stand(canvas: Canvas, sprite: Sprite, spot: _Spot, label: str) -> None:
    canvas.cast_shadow(sprite, spot.x, spot.y)
    canvas.stamp(sprite, spot.x, spot.y, label, spot.far)


def _float(canvas: Canvas, sprite: Sprite, spot: _Spot, label: str) -> None:
    """Put a thing on the water with its mirror image below."""
    body = sprite.body[::-2].copy()
    body *= np.linspace(0.5, 0.05, body.shape[0], dtype=np.float32)[:, None, None]
    canvas.stamp(Sprite(body, None), spot.x, spot.y + body.shape[0], "", spot.far)
    canvas.stamp(sprite, spot.x, spot.y, label, spot.far)


def _put_ball(canvas: Canvas, rng: np.random.Generator, spot: _Spot, thing: str) -> None:
    """Put something round on the ground: most footballs plain to see, the others tiny, blurred or half hidden."""
    size = canvas.size
    plain = rng.random() < (0.62 if thing == "football" else 0.3)
    across = float(np.exp(rng.uniform(np.log(10), np.log(28))) if plain else rng.uniform(3.5, 7.5)) * size / 128
    x = min(max(spot.x, across), size - across)
    # As far away as a ball of this size would be: larger than life, but never larger than the people around it.
    true = canvas.horizon_at(x) + canvas.eye * across / float(rng.uniform(0.2, 0.5))
    y = min(max(true, across + 1, canvas.horizon_at(x) + 2), size - 1.0)
    sprite = _BALLS[thing](rng, across)
    if not plain and rng.random() < 0.4:
        sprite = _smear(sprite, int(rng.integers(2, 5)))
    lift = 0.0 if plain or rng.random() < 0.6 else float(rng.uniform(0, 0.25)) * size
    where = _Spot(x, max(y - lift, across), canvas.scale(x, y), 0.05)
    if lift == 0:
        canvas.cast_shadow(sprite, where.x, where.y)
    canvas.stamp(sprite, where.x, where.y, "football" if thing == "football" else "", where.far)
    if thing == "football" and rng.random() < 0.45:
        px = max(where.px, across * 2.2)
        side = 1 if rng.random() < 0.5 else -1
        kicker = moving.person(rng, px, "kick", pick(rng, moving.SHIRTS))
        _stand(canvas, kicker, _Spot(x + side * 0.85 * px, where.y - 0.04 * px, px, where.far), "person")
    if not plain and rng.random() < 0.35:
        tuft = places.bush(rng, across * float(rng.uniform(0.7, 1.1)))
        canvas.stamp(tuft, x + across * float(rng.choice((-0.5, 0.5))), where.y + 0.15 * across, "", where.far)


def _smear(sprite: Sprite, length: int) -> Sprite:
    """Return the sprite as it looks when it moved `length` pixels sideways while the shutter was open."""
    body = np.pad(sprite.body, ((0, 0), (length, length), (0, 0)))
    moved = sum((np.roll(body, k, axis=1) for k in range(length)), np.zeros_like(body)) / length
    return Sprite(moved.astype(np.float32), None)


def _fly_kite(canvas: Canvas, rng: np.random.Generator, spot: _Spot) -> None:
    """Put a kite into the air, and now and then whoever holds its string."""
    size = canvas.size
    px = float(np.exp(rng.uniform(np.log(4.2), np.log(24)))) * size / 128
    roof = max(0.2 * size, canvas.horizon_at(spot.x) * 0.85)
    x, y = float(rng.uniform(0.08, 0.92)) * size, float(rng.uniform(0.3, 1.0)) * roof
    sprite = toys.kite(rng, px)
    canvas.stamp(sprite, x, max(y, 1.4 * px), "kite", 0.15)
    if rng.random() < 0.5:
        _stand(canvas, moving.person(rng, spot.px, "stand"), spot, "person")


def _put_bird(canvas: Canvas, rng: np.random.Generator, place: Place, spot: _Spot) -> None:
    """Put a bird into the air, or on the ground; many are no more than specks."""
    size = canvas.size
    if not place.open_sky or rng.random() < 0.35:
        px = min(max(spot.px, 9 * size / 128), 48 * size / 128) * float(rng.uniform(0.8, 1.25))
        _stand(canvas, moving.standing_bird(rng, px), spot, "bird")
        return
    across = float(np.exp(rng.uniform(np.log(4.5), np.log(38)))) * size / 128
    y = float(rng.uniform(0.06, 0.95)) * max(canvas.horizon_at(spot.x), 0.2 * size)
    canvas.stamp(moving.flying_bird(rng, across), spot.x, y, "bird", 0.2)


def _scatter_leaves(canvas: Canvas, rng: np.random.Generator) -> None:
    """Blow a few dark specks through the air: what may be taken for birds."""
    for _ in range(int(rng.integers(3, 9))):
        x, y = rng.uniform(0, 1, 2) * canvas.size
        speck = toys.beach_ball(rng, float(rng.uniform(2, 4)))
        speck.body[:, :, :3] *= (0.35, 0.25, 0.15)
        canvas.stamp(speck, float(x), float(y), "")


def _hold_umbrella(canvas: Canvas, rng: np.random.Generator, spot: _Spot) -> None:
    _stand(canvas, moving.person(rng, spot.px, "walk"), spot, "person")
    canvas.stamp(toys.umbrella(rng, spot.px), spot.x + 0.12 * spot.px, spot.y - 1.25 * spot.px, "umbrella", spot.far)
