"""Drawing one thing by itself: finer than the picture, then shrunk, so that edges come out clean."""

from collections.abc import Sequence
from math import ceil, cos, pi, sin
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[float, float, float]
Point = tuple[float, float]

_MODE = "CMYK"
# Read as red, green, blue, cover. Pillow would divide "RGBA" by its cover and multiply it again around every resize;
# it leaves four plain bands alone, and opaque ink on a clear sheet is the same either way.

_ROUND = 3.0
"""Lines from this width on, in fine pixels, get round ends; on thinner ones nobody would see them."""

_LONGEST = 1536
"""Drawn sheets are cut to this many fine pixels a side: a thing larger than the picture needs no more."""


class Sprite(NamedTuple):
    """A drawn thing in picture pixels, standing on the middle of its lower edge."""

    body: NDArray[np.float32]
    """Shape (h, w, 4), float32, 0 to 1: colours as in white light, already times the cover, then the cover."""
    bright: NDArray[np.float32] | None
    """The same for what shines by itself (lit windows, head lights): never darkened."""


class Pen:
    """Draws in metres: x from -width/2 to the right, y from 0 (the ground) up."""

    def __init__(self, width: float, height: float, px: float, angle: float = 0.0) -> None:
        """Open a clear sheet of `width` x `height` metres, `px` picture pixels to the metre.

        `angle` in degrees turns all points about the sheet's middle (ovals and boxes move, but stay upright): far
        cheaper than turning the sheet.
        """
        self.width, self.height = width, height
        cells = max(2, ceil(width * px)), max(2, ceil(height * px))
        fine = 4 if max(cells) < 28 else 3 if max(cells) < 64 else 2
        self.cells = (min(cells[0], _LONGEST // fine), min(cells[1], _LONGEST // fine))
        self.fine = fine
        self.turn = (cos(pi * angle / 180), sin(pi * angle / 180)) if angle else None
        self.unit = px * fine
        self.image = Image.new(_MODE, (self.cells[0] * fine, self.cells[1] * fine), (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)
        self.bright_image: Image.Image | None = None

    def at(self, x: float, y: float) -> Point:
        """Return the sheet's pixel for a point in metres."""
        if self.turn:
            up, (c, s) = y - self.height / 2, self.turn
            x, y = c * x - s * up, s * x + c * up + self.height / 2
        return self.image.width / 2 + x * self.unit, self.image.height - y * self.unit

    def _on(self, bright: bool) -> ImageDraw.ImageDraw:
        if not bright:
            return self.draw
        if self.bright_image is None:
            self.bright_image = Image.new(_MODE, self.image.size, (0, 0, 0, 0))
        return ImageDraw.Draw(self.bright_image)

    def polygon(self, points: Sequence[Point], colour: Colour, bright: bool = False) -> None:
        """Fill a polygon."""
        self._on(bright).polygon([self.at(x, y) for x, y in points], fill=ink(colour))

    def box(self, left: float, low: float, right: float, top: float, colour: Colour, bright: bool = False) -> None:
        """Fill an upright rectangle."""
        (x0, y0), (x1, y1) = self.at(left, top), self.at(right, low)
        self._on(bright).rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), fill=ink(colour))

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour, bright: bool = False) -> None:
        """Fill an ellipse around a middle."""
        cx, cy = self.at(x, y)
        a, b = rx * self.unit, ry * self.unit
        self._on(bright).ellipse((cx - a, cy - b, cx + a, cy + b), fill=ink(colour))

    def ring(self, x: float, y: float, r: float, width: float, colour: Colour) -> None:
        """Draw a circle's outline."""
        cx, cy = self.at(x, y)
        a = r * self.unit
        self.draw.ellipse((cx - a, cy - a, cx + a, cy + a), outline=ink(colour), width=max(1, round(width * self.unit)))

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draw a line through points with round ends, at least a third of a picture pixel wide."""
        pixels = [self.at(x, y) for x, y in points]
        wide = max(self.fine / 3, width * self.unit)
        self.draw.line(pixels, fill=ink(colour), width=max(1, round(wide)), joint="curve")
        r = wide / 2
        for x, y in pixels if wide >= _ROUND else ():
            self.draw.ellipse((x - r, y - r, x + r, y + r), fill=ink(colour))

    def sprite(self, flip: bool = False) -> Sprite:
        """Shrink the sheet to picture pixels."""
        sheets = [self.image] if self.bright_image is None else [self.image, self.bright_image]
        if flip:
            sheets = [sheet.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for sheet in sheets]
        body, *bright = (np.asarray(sheet.reduce(self.fine), np.float32) / np.float32(255) for sheet in sheets)
        return Sprite(body, bright[0] if bright else None)


def ink(colour: Colour) -> tuple[int, int, int, int]:
    """Return the opaque 8-bit colour."""
    r, g, b = (int(min(max(share, 0), 1) * 255 + 0.5) for share in colour)
    return r, g, b, 255


def shade(colour: Colour, factor: float) -> Colour:
    """Return the colour darkened (below 1) or lightened."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def vary(rng: np.random.Generator, colour: Colour, by: float = 0.05) -> Colour:
    """Return the colour moved a little at random."""
    r, g, b = (float(c) for c in np.clip(np.array(colour) + rng.normal(0, by, 3), 0, 1))
    return r, g, b


def pick(rng: np.random.Generator, colours: Sequence[Colour], by: float = 0.05) -> Colour:
    """Return one of the colours, moved a little."""
    return vary(rng, colours[int(rng.integers(len(colours)))], by)


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float, steps: int = 12) -> list[Point]:
    """Return points along an ellipse from angle `start` to `end` (in turns of pi, counter-clockwise from the right)."""
    angles = [pi * (start + (end - start) * k / steps) for k in range(steps + 1)]
    return [(x + rx * cos(a), y + ry * sin(a)) for a in angles]
