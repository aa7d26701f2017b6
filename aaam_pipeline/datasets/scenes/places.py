"""Plants and what is built: things that stay where they are."""

from math import cos, pi, sin

import numpy as np

from aaam_pipeline.datasets.scenes import textures
from aaam_pipeline.datasets.scenes.pen import Colour, Pen, Sprite, pick, shade, vary

_LEAVES: tuple[Colour, ...] = ((0.16, 0.33, 0.10), (0.22, 0.40, 0.14), (0.12, 0.27, 0.12), (0.35, 0.42, 0.15))
_AUTUMN: tuple[Colour, ...] = ((0.62, 0.38, 0.10), (0.65, 0.25, 0.10), (0.60, 0.50, 0.15))
_BARK: Colour = (0.27, 0.20, 0.15)


def tree(rng: np.random.Generator, px: float, snowy: bool, palms: bool) -> Sprite:
    """Draw a tree, 4 to 8 m tall: broad-leaved, a conifer, or a palm where it is warm."""
    tall = float(rng.uniform(4.0, 8.0))
    if palms and rng.random() < 0.75:
        return _palm(rng, px, tall)
    if rng.random() < (0.7 if snowy else 0.25):
        return _conifer(rng, px, tall, snowy)
    return _leafy(rng, px, tall)


def _leafy(rng: np.random.Generator, px: float, tall: float) -> Sprite:
    wide = tall * float(rng.uniform(0.6, 0.95))
    pen = Pen(wide, tall, px)
    top = tall * float(rng.uniform(0.3, 0.42))
    pen.stroke([(0, 0), (0.03 * tall, top * 1.4)], tall * 0.06, _BARK)
    for side in (-1, 1):
        pen.stroke([(0, top * 0.8), (side * wide * 0.2, top * 1.5)], tall * 0.03, shade(_BARK, 0.9))
    sprite = pen.sprite()
    crown(rng, sprite, float(rng.uniform(0.68, 0.8)), pick(rng, _LEAVES if rng.random() < 0.85 else _AUTUMN))
    return sprite


def crown(rng: np.random.Generator, sprite: Sprite, share: float, leaf: Colour) -> None:
    """Grow leaves over the upper `share` of the sprite: a lumpy ball, lit from above."""
    height, width = sprite.body.shape[:2]
    rows = max(2, int(height * share))
    y, x = np.linspace(-1, 1, rows, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    zoom = max(0.6, 70 / width)
    lumps, fine = textures.crop(rng, "rough", rows, width, zoom), textures.crop(rng, "fine", rows, width)
    edge = np.clip((0.80 - np.hypot(x, y) + 0.17 * lumps + 0.06 * fine) * (0.15 * width + 1.5), 0, 1)
    lightness = np.clip(0.95 - 0.35 * y + 0.22 * lumps + 0.20 * fine, 0.35, 1.7)
    colour = np.array(leaf, np.float32) * lightness[:, :, None]
    patch = sprite.body[:rows]
    patch[:, :, :3] += edge[:, :, None] * (colour - patch[:, :, :3])
    patch[:, :, 3] += edge * (1 - patch[:, :, 3])


def bush(rng: np.random.Generator, px: float) -> Sprite:
    """Draw a round bush, a unit across and tall."""
    sprite = Pen(1.1, 1.0, px).sprite()
    crown(rng, sprite, 1.0, shade(pick(rng, _LEAVES), 0.9))
    return sprite


def _conifer(rng: np.random.Generator, px: float, tall: float, snowy: bool) -> Sprite:
    pen = Pen(tall * 0.5, tall, px)
    pen.box(-0.03 * tall, 0, 0.03 * tall, 0.2 * tall, _BARK)
    leaf = pick(rng, ((0.09, 0.22, 0.14), (0.12, 0.25, 0.12)), 0.02)
    for k in range(6):
        low = tall * (0.1 + 0.13 * k)
        half = tall * 0.24 * (1 - k / 7.5) * float(rng.uniform(0.85, 1.05))
        peak = low + tall * 0.26
        pen.polygon(
            [(-half, low), (0, peak), (half, low), (half * 0.4, low + 0.03 * tall)], shade(leaf, 0.8 + 0.07 * k)
        )
        if snowy:
            pen.polygon([(-half * 0.95, low + 0.02 * tall), (0, peak), (half * 0.3, low + 0.14 * tall),
                         (-half * 0.2, low + 0.08 * tall)], (0.88, 0.91, 0.95))  # fmt: skip
    return pen.sprite(flip=bool(rng.random() < 0.5))


def _palm(rng: np.random.Generator, px: float, tall: float) -> Sprite:
    pen = Pen(tall * 0.9, tall, px)
    lean = float(rng.uniform(-0.15, 0.15)) * tall
    head = lean, tall * 0.78
    pen.stroke([(0, 0), (lean * 0.3, tall * 0.4), head], tall * 0.035, (0.42, 0.33, 0.24))
    for k in range(9):
        angle = pi * (-0.15 + 1.3 * k / 8)
        long = tall * 0.28
        middle = head[0] + 0.6 * long * cos(angle), head[1] + 0.6 * long * sin(angle) + 0.05 * tall
        end = head[0] + long * cos(angle), head[1] + 0.55 * long * sin(angle) - 0.06 * tall
        pen.stroke([head, middle, end], tall * 0.025, vary(rng, (0.18, 0.36, 0.12), 0.03))
    return pen.sprite()


_PETALS: tuple[Colour, ...] = (
    (0.90, 0.15, 0.18), (0.97, 0.85, 0.12), (0.96, 0.95, 0.95), (0.60, 0.25, 0.70), (0.95, 0.50, 0.65)
)  # fmt: skip


def flowers(rng: np.random.Generator, px: float, near: float) -> Sprite:
    """Draw a clump of flowers of one kind; `near` is one flower's size in picture pixels."""
    unit = near / px
    pen = Pen(unit * 9, unit * 4.5, px)
    petal = pick(rng, _PETALS)
    for _ in range(int(rng.integers(5, 13))):
        x, y = float(rng.normal(0, 2.0)) * unit, float(rng.uniform(1.0, 3.8)) * unit
        pen.stroke([(x * 0.9, 0), (x, y)], unit * 0.12, (0.2, 0.38, 0.12))
        turn = float(rng.uniform(0, 1))
        for k in range(5):
            angle = pi * (turn + 0.4 * k)
            pen.oval(x + 0.28 * unit * cos(angle), y + 0.25 * unit * sin(angle), 0.24 * unit, 0.22 * unit,
                     shade(petal, 0.85 + 0.05 * k))  # fmt: skip
        pen.oval(x, y, 0.16 * unit, 0.15 * unit, (0.85, 0.65, 0.1))
    return pen.sprite()


_WALLS: tuple[Colour, ...] = (
    (0.62, 0.36, 0.28), (0.78, 0.72, 0.62), (0.60, 0.60, 0.62), (0.86, 0.80, 0.68), (0.72, 0.52, 0.40),
    (0.50, 0.55, 0.60),
)  # fmt: skip
_ROOFS: tuple[Colour, ...] = ((0.50, 0.20, 0.14), (0.28, 0.28, 0.31), (0.40, 0.28, 0.20))


def building(rng: np.random.Generator, px: float, night: bool, tall: bool) -> Sprite:
    """Draw a house, or with `tall` a block of flats or offices: a front, sometimes with a side in the shade."""
    wide = float(rng.uniform(6, 11))
    storeys = int(rng.integers(3, 8)) if tall else int(rng.integers(1, 3))
    high = storeys * 3.0 + 0.6
    roof = 0.0 if tall and rng.random() < 0.7 else float(rng.uniform(1.4, 2.6))
    side = float(rng.uniform(1.0, 3.0)) if rng.random() < 0.5 else 0.0
    pen = Pen(wide + side + 0.6, high + roof + 0.2, px)
    left = -pen.width / 2 + 0.3
    wall = pick(rng, _WALLS)
    pen.box(left, 0, left + wide, high, wall)
    if side:
        end = left + wide + side
        pen.polygon([(left + wide, 0), (left + wide, high), (end, high * 0.93), (end, 0.3)], shade(wall, 0.62))
    if roof:
        pen.polygon([(left - 0.3, high), (left + 0.8, high + roof), (left + wide - 0.8, high + roof),
                     (left + wide + 0.3, high)], pick(rng, _ROOFS))  # fmt: skip
    _windows(pen, rng, (left, wide, storeys), night)
    pen.box(left + wide * 0.45, 0, left + wide * 0.45 + 1.1, 2.1, shade(wall, 0.35))
    return pen.sprite(flip=bool(rng.random() < 0.5))


def _windows(pen: Pen, rng: np.random.Generator, front: tuple[float, float, int], night: bool) -> None:
    left, wide, storeys = front
    columns = max(2, int(wide / 2.0))
    step = wide / columns
    glass = vary(rng, (0.20, 0.25, 0.31))
    for floor in range(storeys):
        for column in range(columns):
            x, y = left + (column + 0.5) * step, floor * 3.0 + 1.1
            lit = night and rng.random() < 0.4
            colour = vary(rng, (0.98, 0.82, 0.48), 0.04) if lit else shade(glass, float(rng.uniform(0.7, 1.3)))
            pen.box(x - 0.62, y - 0.1, x + 0.62, y + 1.55, (0.85, 0.84, 0.80))
            pen.box(x - 0.5, y, x + 0.5, y + 1.45, colour, bright=lit)


def fence(rng: np.random.Generator, px: float, wide: float) -> Sprite:
    """Draw a fence about 1.2 m tall and `wide` metres long: pickets, rails on posts, or iron bars."""
    pen = Pen(wide, 1.4, px)
    kind = int(rng.integers(3))
    colour = pick(rng, ((0.90, 0.89, 0.85), (0.42, 0.30, 0.20), (0.55, 0.45, 0.35))) if kind < 2 else (0.12, 0.13, 0.13)
    step, thick = ((0.30, 0.17), (1.8, 0.16), (0.24, 0.06))[kind]
    rails = ((0.35, 0.85), (0.35, 0.7, 1.05), (0.15, 1.15))[kind]
    for y in rails:
        pen.box(-wide / 2, y, wide / 2, y + (0.13 if kind < 2 else 0.06), shade(colour, 0.85))
    for x in np.arange(-wide / 2, wide / 2, step).tolist():
        top = 1.2 + 0.05 * sin(9 * x)
        pen.box(x, 0, x + thick, top, shade(colour, 0.92 + 0.08 * sin(31 * x)))
    return pen.sprite()


def lamp(rng: np.random.Generator, px: float, night: bool) -> Sprite:
    """Draw a street lamp, 4.5 m tall; its head is at 4.2 m, right of the pole or on top of it."""
    pen = Pen(2.2, 4.6, px)
    iron = vary(rng, (0.20, 0.22, 0.23), 0.03)
    shine: Colour = (1.0, 0.93, 0.70) if night else (0.85, 0.85, 0.80)
    pen.stroke([(0, 0), (0, 4.1)], 0.10, iron)
    if rng.random() < 0.5:
        pen.stroke([(0, 4.1), (0.3, 4.42), (0.85, 4.42)], 0.09, iron)
        pen.box(0.45, 4.26, 1.05, 4.4, shine, bright=night)
    else:
        pen.box(-0.11, 0, 0.11, 0.7, iron)
        pen.polygon([(-0.3, 4.35), (0.3, 4.35), (0.18, 3.85), (-0.18, 3.85)], shine, bright=night)
        pen.polygon([(-0.34, 4.34), (0.0, 4.6), (0.34, 4.34)], iron)
    return pen.sprite(flip=bool(rng.random() < 0.5))


def post(rng: np.random.Generator, px: float) -> Sprite:
    """Draw what may be taken for a person or a lamp: a post with a sign, or a bollard."""
    pen = Pen(1.0, 2.6, px)
    if rng.random() < 0.5:
        pen.stroke([(0, 0), (0, 2.4)], 0.07, (0.5, 0.5, 0.52))
        pen.oval(0, 2.2, 0.32, 0.32, pick(rng, ((0.8, 0.1, 0.1), (0.1, 0.25, 0.7), (0.9, 0.75, 0.1))))
    else:
        pen.box(-0.16, 0, 0.16, 1.0, vary(rng, (0.35, 0.33, 0.32)))
        pen.oval(0, 1.05, 0.16, 0.14, vary(rng, (0.75, 0.2, 0.15)))
    return pen.sprite()
