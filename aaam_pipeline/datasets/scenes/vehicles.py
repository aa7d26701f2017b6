"""What one rides, drives or sails."""

import numpy as np

from aaam_pipeline.datasets.scenes.pen import Colour, Pen, Point, Sprite, arc, pick, shade, vary

_PAINT: tuple[Colour, ...] = (
    (0.70, 0.08, 0.09), (0.12, 0.22, 0.50), (0.85, 0.86, 0.87), (0.10, 0.10, 0.11), (0.50, 0.52, 0.55),
    (0.88, 0.72, 0.12), (0.14, 0.38, 0.24), (0.55, 0.70, 0.80),
)  # fmt: skip
_GLASS: Colour = (0.22, 0.28, 0.34)
_BODIES: dict[str, tuple[list[Point], list[Point]]] = {
    "saloon": (
        [(-2.1, 0.3), (-2.12, 0.75), (-1.85, 0.92), (-1.25, 0.97), (-0.7, 1.42), (0.55, 1.44), (1.15, 0.95),
         (1.9, 0.85), (2.12, 0.62), (2.1, 0.3)],
        [(-1.1, 0.97), (-0.62, 1.34), (0.48, 1.36), (0.98, 0.97)],
    ),
    "hatch": (
        [(-1.9, 0.3), (-1.95, 0.9), (-1.6, 1.5), (0.45, 1.55), (1.05, 1.0), (1.75, 0.9), (1.95, 0.65), (1.93, 0.3)],
        [(-1.6, 0.98), (-1.42, 1.42), (0.38, 1.46), (0.88, 1.0)],
    ),
    "van": (
        [(-2.2, 0.3), (-2.2, 1.85), (-2.1, 1.95), (1.2, 1.95), (1.75, 1.1), (2.15, 0.95), (2.2, 0.3)],
        [(0.45, 1.15), (0.45, 1.75), (1.12, 1.75), (1.52, 1.15)],
    ),
}  # fmt: skip


def _wheels(pen: Pen, places: tuple[float, ...]) -> None:
    for x in places:
        pen.oval(x, 0.33, 0.38, 0.37, (0.03, 0.03, 0.03))
        pen.oval(x, 0.32, 0.32, 0.32, (0.09, 0.09, 0.09))
        pen.oval(x, 0.32, 0.18, 0.18, (0.6, 0.6, 0.62))


def car(rng: np.random.Generator, px: float, night: bool) -> Sprite:
    """Draw a car from the side or from an end, 1.5 to 2 m tall."""
    return _car_side(rng, px, night) if rng.random() < 0.7 else _car_end(rng, px, night)


def _car_side(rng: np.random.Generator, px: float, night: bool) -> Sprite:
    paint = pick(rng, _PAINT)
    body, glass = _BODIES[("saloon", "hatch", "van")[int(rng.choice(3, p=(0.45, 0.35, 0.2)))]]
    pen = Pen(4.6, 2.0, px)
    pen.polygon(body, paint)
    pen.polygon([(x, min(y, 0.55)) for x, y in body], shade(paint, 0.7))
    pen.polygon(glass, vary(rng, _GLASS))
    middle = (glass[0][0] + glass[-1][0]) / 2
    pen.box(middle - 0.05, glass[0][1], middle + 0.05, glass[1][1], shade(paint, 0.9))
    pen.stroke([(-1.8, 0.88), (1.6, 0.88)], 0.03, shade(paint, 1.3))
    _wheels(pen, (-1.3, 1.3))
    pen.oval(2.02, 0.68, 0.1, 0.08, (1.0, 0.97, 0.8), bright=night)
    pen.oval(-2.02, 0.75, 0.08, 0.1, (0.9, 0.1, 0.08), bright=night)
    return pen.sprite(flip=bool(rng.random() < 0.5))


def _car_end(rng: np.random.Generator, px: float, night: bool) -> Sprite:
    """Draw a car's front or back: the lamps tell which."""
    paint = pick(rng, _PAINT)
    pen = Pen(2.0, 1.55, px)
    for x in (-0.72, 0.72):
        pen.box(x - 0.14, 0, x + 0.14, 0.5, (0.05, 0.05, 0.05))
    pen.polygon([(-0.9, 0.25), (-0.92, 0.8), (-0.8, 0.95), (0.8, 0.95), (0.92, 0.8), (0.9, 0.25)], paint)
    pen.polygon([(-0.78, 0.93), (-0.58, 1.45), (0.58, 1.45), (0.78, 0.93)], shade(paint, 0.9))
    pen.polygon([(-0.68, 0.95), (-0.52, 1.37), (0.52, 1.37), (0.68, 0.95)], vary(rng, _GLASS))
    pen.box(-0.5, 0.35, 0.5, 0.5, shade(paint, 0.45))
    pen.box(-0.22, 0.36, 0.22, 0.47, (0.9, 0.9, 0.85))
    front = rng.random() < 0.5
    lamp: Colour = (1.0, 0.97, 0.82) if front else (0.85, 0.08, 0.07)
    for x in (-0.7, 0.7):
        pen.oval(x, 0.7, 0.14, 0.1, lamp, bright=night)
    return pen.sprite()


def bicycle(rng: np.random.Generator, px: float) -> Sprite:
    """Draw a bicycle from the side, 1.1 m tall; its front is on the right, for a rider to match."""
    frame = pick(rng, _PAINT)
    pen = Pen(1.9, 1.15, px)
    for x in (-0.53, 0.53):
        pen.ring(x, 0.36, 0.36, 0.055, (0.06, 0.06, 0.06))
        pen.ring(x, 0.36, 0.30, 0.02, (0.45, 0.45, 0.45))
        pen.oval(x, 0.36, 0.04, 0.04, (0.3, 0.3, 0.3))
    seat, crank, head = (-0.2, 0.85), (-0.05, 0.32), (0.38, 0.83)
    for points in ([(-0.53, 0.36), seat, head, crank, seat], [crank, (-0.53, 0.36)], [head, (0.53, 0.36)]):
        pen.stroke(points, 0.05, frame)
    pen.stroke([seat, (-0.23, 0.96)], 0.04, frame)
    pen.stroke([(-0.34, 0.97), (-0.12, 0.97)], 0.07, (0.08, 0.08, 0.08))
    pen.stroke([head, (0.36, 1.03), (0.5, 1.05)], 0.045, (0.1, 0.1, 0.1))
    pen.oval(crank[0], crank[1], 0.08, 0.08, (0.2, 0.2, 0.2))
    return pen.sprite()


def boat(rng: np.random.Generator, px: float, night: bool) -> Sprite:
    """Draw a sailing, a motor or a rowing boat, or a ship."""
    kind = int(rng.choice(4, p=(0.42, 0.28, 0.18, 0.12)))
    flip = bool(rng.random() < 0.5)
    return (_sailing, _motor, _rowing, _ship)[kind](rng, px, night).sprite(flip=flip)


def _hull(pen: Pen, long: float, high: float, colour: Colour) -> None:
    half = long / 2
    pen.polygon([(-half, high), (-half * 0.9, 0), (half * 0.75, 0), (half, high * 1.15)], colour)
    pen.polygon([(-half * 0.94, high * 0.3), (-half * 0.9, 0), (half * 0.75, 0), (half * 0.82, high * 0.3)],
                shade(colour, 0.6))  # fmt: skip


def _sailing(rng: np.random.Generator, px: float, night: bool) -> Pen:
    pen = Pen(5.2, 6.6, px)
    sail = pick(rng, ((0.95, 0.94, 0.90), (0.95, 0.94, 0.90), (0.80, 0.25, 0.18), (0.25, 0.35, 0.60)))
    pen.stroke([(0.1, 0.6), (0.1, 6.5)], 0.09, (0.35, 0.3, 0.25))
    if rng.random() < 0.8:
        pen.polygon([(0.0, 1.0), (0.0, 6.3), (-1.0, 3.0), (-2.1, 1.0)], sail)
        pen.polygon([(0.25, 1.0), (0.2, 5.6), (2.2, 0.9)], shade(sail, 0.88))
    _hull(pen, 4.8, 0.8, pick(rng, _PAINT))
    return pen


def _motor(rng: np.random.Generator, px: float, night: bool) -> Pen:
    pen = Pen(6.2, 3.0, px)
    white = vary(rng, (0.9, 0.9, 0.88), 0.03)
    pen.polygon([(-2.0, 0.9), (-1.8, 2.1), (0.5, 2.1), (1.3, 0.9)], white)
    pen.box(-1.6, 1.4, 0.4, 1.85, (1.0, 0.85, 0.5) if night else (0.15, 0.2, 0.27), bright=night)
    pen.stroke([(-0.6, 2.1), (-0.6, 2.9)], 0.06, (0.3, 0.3, 0.3))
    _hull(pen, 6.0, 1.0, pick(rng, (*_PAINT, white, white)))
    return pen


def _rowing(rng: np.random.Generator, px: float, night: bool) -> Pen:
    pen = Pen(3.8, 1.0, px)
    wood = vary(rng, (0.5, 0.33, 0.2))
    pen.polygon(arc(0, 0.62, 1.7, 0.12, 0, 2), shade(wood, 0.5))
    pen.polygon([(-1.75, 0.7), (-1.3, 0.0), (1.2, 0.0), (1.8, 0.75), (1.3, 0.55), (-1.3, 0.52)], wood)
    pen.stroke([(0.1, 0.65), (0.9, 0.05)], 0.07, (0.7, 0.6, 0.4))
    return pen


def _ship(rng: np.random.Generator, px: float, night: bool) -> Pen:
    """Draw a ship: 20 m long, so that it is still seen far out."""
    pen = Pen(20.5, 8.0, px)
    _hull(pen, 20, 2.4, pick(rng, _PAINT))
    white = vary(rng, (0.88, 0.88, 0.86), 0.03)
    pen.box(-8, 2.4, -3.5, 5.2, white)
    for k in range(5):
        pen.box(-7.7 + 0.85 * k, 3.6, -7.2 + 0.85 * k, 4.4, (1.0, 0.85, 0.5) if night else (0.2, 0.25, 0.3), night)
    pen.box(-6.5, 5.2, -5.0, 7.4, pick(rng, _PAINT))
    for k in range(4):
        pen.box(-2.5 + 2.4 * k, 2.4, -0.3 + 2.4 * k, 3.6 + 0.5 * (k % 2), pick(rng, _PAINT))
    return pen
