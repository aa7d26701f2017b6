"""What moves: people, animals, and what one rides, drives or sails."""

from math import cos, pi, sin

import numpy as np

from aaam_pipeline.datasets.scenes.pen import Colour, Pen, Point, Sprite, arc, pick, shade, vary

_SKIN: tuple[Colour, ...] = ((0.93, 0.76, 0.64), (0.85, 0.63, 0.48), (0.62, 0.42, 0.30), (0.38, 0.26, 0.19))
_HAIR: tuple[Colour, ...] = ((0.12, 0.09, 0.07), (0.32, 0.20, 0.10), (0.70, 0.55, 0.30), (0.45, 0.43, 0.42))
SHIRTS: tuple[Colour, ...] = (
    (0.80, 0.12, 0.14), (0.13, 0.25, 0.66), (0.92, 0.92, 0.90), (0.95, 0.80, 0.15), (0.10, 0.10, 0.12),
    (0.15, 0.50, 0.35), (0.55, 0.25, 0.55), (0.90, 0.50, 0.15), (0.45, 0.60, 0.75),
)  # fmt: skip
_TROUSERS: tuple[Colour, ...] = ((0.15, 0.18, 0.30), (0.10, 0.10, 0.11), (0.55, 0.50, 0.42), (0.90, 0.90, 0.90))
_FUR: tuple[Colour, ...] = ((0.45, 0.28, 0.14), (0.12, 0.10, 0.09), (0.85, 0.78, 0.65), (0.62, 0.45, 0.28))


def _leg(pen: Pen, hip: Point, swing: float, bend: float, colours: tuple[Colour, Colour]) -> None:
    """Draw a leg from the hip; `swing` and `bend` in radians, forward is +x; colours of cloth and of what is below."""
    knee = hip[0] + 0.44 * sin(swing), hip[1] - 0.44 * cos(swing)
    low = swing - bend
    foot = knee[0] + 0.42 * sin(low), max(0.05, knee[1] - 0.42 * cos(low))
    pen.stroke([knee, foot], 0.12, colours[1])
    pen.stroke([hip, knee], 0.17, colours[0])
    pen.stroke([foot, (foot[0] + 0.12, foot[1] - 0.01)], 0.09, (0.1, 0.1, 0.1))


def _arm(pen: Pen, swing: float, bend: float, sleeve: Colour, skin: Colour) -> None:
    shoulder = 0.02, 1.38
    elbow = shoulder[0] + 0.28 * sin(swing), shoulder[1] - 0.28 * cos(swing)
    hand = elbow[0] + 0.26 * sin(swing + bend), elbow[1] - 0.26 * cos(swing + bend)
    pen.stroke([elbow, hand], 0.075, skin)
    pen.stroke([shoulder, elbow], 0.10, sleeve)


def _head(pen: Pen, skin: Colour, hair: Colour, rng: np.random.Generator) -> None:
    pen.box(-0.05, 1.36, 0.05, 1.5, shade(skin, 0.9))
    pen.oval(0, 1.57, 0.105, 0.135, skin)
    pen.polygon(arc(-0.01, 1.59, 0.12, 0.14, 0.05, 1.1), hair)
    if rng.random() < 0.3:
        pen.oval(-0.06, 1.5, 0.08, 0.17, hair)


_POSES = {"stand": (0.08, 0.1), "walk": (0.42, 0.35), "run": (0.85, 1.2), "kick": (1.05, 0.25), "ride": (0.75, 1.15)}


def person(rng: np.random.Generator, px: float, pose: str = "", shirt: Colour | None = None) -> Sprite:
    """Draw somebody about 1.7 m tall; without a pose one is drawn by lot."""
    pose = pose or ("stand", "walk", "run")[int(rng.choice(3, p=(0.4, 0.4, 0.2)))]
    swing, bend = _POSES[pose]
    swing *= float(rng.uniform(0.6, 1.1))
    skin, cloth = pick(rng, _SKIN), shirt or pick(rng, SHIRTS)
    legs = pick(rng, _TROUSERS)
    below = skin if pose in ("run", "kick") or rng.random() < 0.25 else legs
    pen = Pen(1.5, 1.78, px, float(rng.normal(0, 2)) - (6 if pose in ("run", "ride") else 0))
    back = -0.5 * swing if pose == "kick" else -swing
    hip = 0.86
    _arm(pen, -swing * 0.9, 0.5 * swing, shade(cloth, 0.75), shade(skin, 0.8))
    _leg(pen, (-0.05, hip), back, bend if pose != "stand" else 0, (shade(legs, 0.75), shade(below, 0.8)))
    _leg(pen, (0.05, hip), swing, bend * (0.3 if pose != "ride" else 1), (legs, below))
    wide = float(rng.uniform(0.17, 0.23))
    if rng.random() < 0.15 and pose in ("stand", "walk"):
        pen.polygon([(-0.15, 1.0), (0.15, 1.0), (0.3, 0.45), (-0.3, 0.45)], cloth)
    pen.polygon([(-wide, 1.42), (wide, 1.42), (0.15, 0.84), (-0.15, 0.84)], cloth)
    pen.oval(0, 1.40, wide, 0.07, cloth)
    _arm(pen, swing * 0.9, 0.6 * swing + 0.1, shade(cloth, 0.9), skin)
    _head(pen, skin, pick(rng, _HAIR), rng)
    return pen.sprite(flip=bool(rng.random() < 0.5) if pose != "ride" else False)


def dog(rng: np.random.Generator, px: float) -> Sprite:
    """Draw a dog from the side, about 0.7 m tall."""
    fur = pick(rng, _FUR, 0.03)
    dark, patch = shade(fur, 0.7), pick(rng, _FUR, 0.03) if rng.random() < 0.3 else fur
    pen = Pen(1.4, 0.95, px)
    stride = float(rng.uniform(0.0, 0.16))
    for x, colour in ((-0.30, dark), (0.26, dark), (-0.36, fur), (0.32, fur)):
        step = stride if colour is fur else -stride
        pen.stroke([(x, 0.42), (x + step, 0.2), (x + step * 0.8, 0.04)], 0.085, colour)
    pen.oval(0, 0.50, 0.44, 0.13, fur)
    pen.oval(0.26, 0.51, 0.17, 0.17, fur)
    pen.oval(-0.1, 0.55, 0.2, 0.08, patch)
    pen.stroke([(-0.42, 0.55), (-0.58, 0.62 + float(rng.uniform(-0.2, 0.22)))], 0.06, fur)
    up = float(rng.choice((0.79, 0.74, 0.5), p=(0.5, 0.35, 0.15)))
    pen.stroke([(0.34, 0.56), (0.45, up)], 0.16, fur)
    pen.oval(0.48, up, 0.13, 0.11, fur)
    pen.stroke([(0.55, up - 0.03), (0.66, up - 0.05)], 0.09, shade(fur, 0.85))
    pen.oval(0.69, up - 0.03, 0.03, 0.03, (0.05, 0.05, 0.05))
    pen.polygon([(0.40, up + 0.08), (0.50, up + 0.10), (0.42, up - 0.10 + 0.28 * float(rng.random() < 0.4))], dark)
    return pen.sprite(flip=bool(rng.random() < 0.5))


_PLUMAGE: tuple[Colour, ...] = ((0.10, 0.10, 0.11), (0.92, 0.92, 0.92), (0.45, 0.42, 0.40), (0.30, 0.25, 0.22))


def _wing(side: float, rise: float, span: float) -> list[Point]:
    """Return one wing's outline: out along a bent arm, back along the feathers."""
    bend, tip = side * span * 0.45, side * span
    return [(0, 0.52), (bend, 0.52 + rise), (tip, 0.50 + rise * 0.35), (bend * 1.1, 0.40 + rise * 0.7), (0, 0.40)]


def flying_bird(rng: np.random.Generator, px: float) -> Sprite:
    """Draw a bird on the wing, about 1 m across."""
    colour = pick(rng, _PLUMAGE, 0.03)
    pen = Pen(1.1, 1.0, px, float(rng.normal(0, 20)))
    rise = float(rng.uniform(-0.25, 0.4))
    left, right = rng.uniform(0.35, 0.52, 2)
    pen.polygon(_wing(-1, rise, float(left)), shade(colour, 0.85))
    pen.polygon(_wing(1, rise + float(rng.normal(0, 0.05)), float(right)), colour)
    pen.oval(0, 0.45, 0.08, 0.10 + 0.05 * float(rng.random()), shade(colour, 0.8))
    return pen.sprite()


def standing_bird(rng: np.random.Generator, px: float) -> Sprite:
    """Draw a bird on its feet (a gull, a pigeon, a crow), about 0.4 m tall."""
    colour = pick(rng, _PLUMAGE, 0.03)
    pen = Pen(0.7, 0.45, px)
    for x in (-0.03, 0.05):
        pen.stroke([(x, 0.15), (x + 0.02, 0.0)], 0.02, (0.75, 0.45, 0.15))
    pen.polygon([(-0.34, 0.20), (-0.1, 0.28), (-0.08, 0.18)], shade(colour, 0.6))
    pen.oval(0, 0.22, 0.2, 0.10, colour)
    pen.oval(-0.04, 0.25, 0.15, 0.06, shade(colour, 0.72))
    down = 0.12 if rng.random() < 0.25 else 0.0
    pen.oval(0.18, 0.34 - down, 0.075, 0.07, colour)
    pen.polygon([(0.24, 0.36 - down), (0.33, 0.33 - down), (0.24, 0.31 - down)], (0.85, 0.6, 0.15))
    return pen.sprite(flip=bool(rng.random() < 0.5))


def sheep(rng: np.random.Generator, px: float) -> Sprite:
    """Draw what may be taken for a dog: a sheep."""
    pen = Pen(1.4, 1.0, px)
    for x in (-0.3, -0.2, 0.2, 0.3):
        pen.stroke([(x, 0.4), (x, 0.03)], 0.07, (0.15, 0.13, 0.12))
    wool = vary(rng, (0.85, 0.82, 0.75))
    for k in range(7):
        pen.oval(-0.33 + 0.11 * k, 0.55 + 0.06 * sin(k * pi * 0.7), 0.17, 0.2, shade(wool, 0.93 + 0.02 * k))
    pen.oval(0.5, 0.62, 0.13, 0.1, (0.16, 0.14, 0.13))
    return pen.sprite(flip=bool(rng.random() < 0.5))


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
