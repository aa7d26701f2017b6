"""Small things that people bring: the hard labels, and what they are mistaken for."""

from itertools import combinations
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.datasets.scenes.pen import Colour, Pen, Sprite, arc, pick, shade, vary

BRIGHT: tuple[Colour, ...] = (
    (0.88, 0.12, 0.15), (0.10, 0.35, 0.80), (0.97, 0.82, 0.10), (0.15, 0.60, 0.30), (0.95, 0.50, 0.10),
    (0.70, 0.15, 0.55), (0.95, 0.95, 0.95), (0.10, 0.65, 0.70),
)  # fmt: skip
_GOLDEN = (1 + 5**0.5) / 2


def _icosahedron() -> NDArray[np.float64]:
    """Return its 12 corners (12, 3) on the unit sphere: where a football's black patches are."""
    corners = [(0, a, b * _GOLDEN) for a in (-1, 1) for b in (-1, 1)]
    turned = [tuple(np.roll(corner, k)) for k in range(3) for corner in corners]
    points = np.array(turned, np.float64)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


_CORNERS = _icosahedron()
_EDGES = [(a, b) for a, b in combinations(range(12), 2) if float(_CORNERS[a] @ _CORNERS[b]) > 0.4]


def _turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random rotation (3, 3)."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    return np.asarray(q * np.sign(np.diag(r)))


def _patch(corner: NDArray[np.float64], others: NDArray[np.float64], r: float) -> list[tuple[float, float]]:
    """Return the pentagon around a corner, pointing at its five neighbours, as seen from the front."""
    points = corner + 0.34 * (others - corner)
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    east = np.cross(corner, (0.31, 0.17, 0.93))
    north = np.cross(corner, east)
    order = np.argsort(np.arctan2(points @ north, points @ east))
    return [(float(x) * r, float(y) * r + 0.5) for x, y, _ in points[order]]


def football(rng: np.random.Generator, px: float) -> Sprite:
    """Draw a ball with black pentagons, one unit across (scale it by `px`)."""
    pen = Pen(1.0, 1.0, px)
    white = vary(rng, (0.95, 0.95, 0.94), 0.015)
    r = 0.49
    pen.oval(0, 0.5, r, r, shade(white, 0.62))
    pen.oval(0.02, 0.55, r * 0.93, r * 0.88, shade(white, 0.85))
    pen.oval(0.04, 0.58, r * 0.82, r * 0.76, white)
    corners = _CORNERS @ _turn(rng)
    near = {k: [b if a == k else a for a, b in _EDGES if k in (a, b)] for k in range(12)}
    for a, b in _EDGES:
        thirds = [corners[a] * (1 - t) + corners[b] * t for t in (0.3, 0.7)]
        if min(p[2] for p in thirds) > 0.1:
            unit = [p / np.linalg.norm(p) * r for p in thirds]
            pen.stroke([(float(p[0]), float(p[1]) + 0.5) for p in unit], 0.025, (0.35, 0.35, 0.36))
    for k in range(12):
        if corners[k, 2] > 0.05:
            pen.polygon(_patch(corners[k], corners[near[k]], r), (0.07, 0.07, 0.08))
    return pen.sprite()


def beach_ball(rng: np.random.Generator, px: float) -> Sprite:
    """Draw a ball that is no football, one unit across: plain, or in coloured slices."""
    pen = Pen(1.0, 1.0, px)
    base = pick(rng, BRIGHT)
    pen.oval(0, 0.5, 0.49, 0.49, shade(base, 0.75))
    pen.oval(0.03, 0.56, 0.42, 0.40, base)
    if rng.random() < 0.6:
        start = float(rng.uniform(0, 2))
        for k in range(3):
            at = start + 2 * k / 3
            pen.polygon([(0.05, 0.55), *arc(0, 0.5, 0.48, 0.48, at, at + 0.33)], pick(rng, BRIGHT))
    return pen.sprite()


def white_blob(rng: np.random.Generator, px: float) -> Sprite:
    """Draw something pale and round, one unit across, that is no football: a stone, a plate, a bucket."""
    pen = Pen(1.0, 1.0, px)
    pale = vary(rng, (0.86, 0.85, 0.82), 0.06)
    kind = int(rng.integers(3))
    if kind == 0:
        bumps = 0.38 + 0.1 * rng.random(9)
        pen.polygon([(1.1 * r * cos(2 * pi * k / 9), 0.4 + 0.8 * r * sin(2 * pi * k / 9)) for k, r in enumerate(bumps)],
                    shade(pale, 0.85))  # fmt: skip
        pen.oval(0.05, 0.5, 0.25, 0.16, pale)
    elif kind == 1:
        pen.oval(0, 0.35, 0.49, 0.3, shade(pale, 0.8))
        pen.oval(0, 0.38, 0.36, 0.2, pale)
    else:
        pen.polygon([(-0.42, 0.85), (-0.3, 0.0), (0.3, 0.0), (0.42, 0.85)], pale)
        pen.polygon(arc(0, 0.85, 0.42, 0.13, 0, 2), shade(pale, 0.45))
    return pen.sprite()


def kite(rng: np.random.Generator, px: float) -> Sprite:
    """Draw a flying kite with its tail, 1.5 units tall: a diamond or a swept triangle."""
    pen = Pen(1.7, 2.2, px, float(rng.normal(0, 22)))
    one, two = pick(rng, BRIGHT), pick(rng, BRIGHT)
    if rng.random() < 0.65:
        top, low, left, right, mid = (0.0, 2.1), (0.0, 0.75), (-0.5, 1.6), (0.5, 1.6), (0.0, 1.6)
        for points, colour in (((top, left, mid), one), ((top, right, mid), two), ((low, left, mid), two),
                               ((low, right, mid), one)):  # fmt: skip
            pen.polygon(points, colour)
    else:
        pen.polygon([(0, 2.0), (-0.8, 1.15), (0, 1.3)], one)
        pen.polygon([(0, 2.0), (0.8, 1.15), (0, 1.3)], two)
    phase = float(rng.uniform(0, 6))
    tail = [(0.12 * sin(phase + 4 * t), 0.8 - 0.75 * t) for t in np.linspace(0, 1, 8).tolist()]
    pen.stroke(tail, 0.03, one)
    for x, y in tail[2::2]:
        pen.oval(x, y, 0.09, 0.05, two)
    return pen.sprite(flip=bool(rng.random() < 0.5))


def flag(rng: np.random.Generator, px: float) -> Sprite:
    """Draw what may be taken for a kite or a parasol: a flag on its pole, 3.4 m tall."""
    pen = Pen(2.6, 3.4, px)
    pen.stroke([(0, 0), (0, 3.35)], 0.06, (0.6, 0.6, 0.6))
    one, two = pick(rng, BRIGHT), pick(rng, BRIGHT)
    dip = float(rng.uniform(-0.1, 0.35))
    pen.polygon([(0, 3.3), (1.2, 3.3 - dip), (1.2, 2.9 - dip), (0, 2.9)], one)
    pen.polygon([(0, 2.9), (1.2, 2.9 - dip), (1.2, 2.5 - dip), (0, 2.5)], two)
    return pen.sprite(flip=bool(rng.random() < 0.5))


def parasol(rng: np.random.Generator, px: float) -> Sprite:
    """Draw a striped sunshade on its pole, 2.3 m tall."""
    pen = Pen(2.5, 2.4, px, float(rng.normal(0, 9)))
    pen.stroke([(0, 0), (0, 2.25)], 0.06, (0.75, 0.72, 0.68))
    _dome(pen, rng, 1.15, 1.5, 0.75)
    return pen.sprite()


def umbrella(rng: np.random.Generator, px: float) -> Sprite:
    """Draw an umbrella held overhead: 1.2 m across, its handle at the lower edge."""
    pen = Pen(1.4, 0.95, px, float(rng.normal(0, 8)))
    pen.stroke([(0, 0), (0, 0.9)], 0.03, (0.2, 0.2, 0.2))
    if rng.random() < 0.6:
        colour = pick(rng, ((0.08, 0.08, 0.10), (0.5, 0.1, 0.12), (0.12, 0.2, 0.4), (0.3, 0.3, 0.3)))
        pen.polygon(arc(0, 0.45, 0.62, 0.45, 0, 1), colour)
        for k in range(3):
            pen.polygon(arc(-0.41 + 0.41 * k, 0.45, 0.2, 0.1, 0, 1), shade(colour, 0.5))
    else:
        _dome(pen, rng, 0.62, 0.45, 0.45)
    return pen.sprite()


def _dome(pen: Pen, rng: np.random.Generator, wide: float, low: float, high: float) -> None:
    """Draw a half dome in stripes that meet at its top."""
    one, two = pick(rng, BRIGHT), pick(rng, BRIGHT)
    slices = int(rng.integers(4, 8))
    for k in range(slices):
        a, b = 1 - 2 * k / slices, 1 - 2 * (k + 1) / slices
        outer = [(-wide * t, low + high * (1 - t * t) ** 0.5) for t in np.linspace(a, b, 5).tolist()]
        inner = [(-wide * 0.9 * b, low - 0.04), (-wide * 0.9 * a, low - 0.04)]
        pen.polygon([(0.0, low + high), *outer, *inner], shade(one if k % 2 else two, 1 - 0.06 * k))
