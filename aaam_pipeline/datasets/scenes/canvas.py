"""The picture while it is painted: colours, which thing owns each pixel, and where the ground is."""

from copy import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.datasets.scenes.light import Colours, Light
from aaam_pipeline.datasets.scenes.pen import Sprite
from aaam_pipeline.datasets.scenes.textures import Plane

Real = NDArray[np.floating]

REGIONS = frozenset({"sky", "clouds", "sea", "sand", "grass", "road", "mountain", "snow"})
"""Labels that name stuff, not things: worth a label only from a certain area on."""

_REGION_SHARE = 0.03
_THING_PIXELS = 2
_THING_SHARE = 0.2


class Canvas:
    """An S x S picture of a scene with a horizon; far things must be painted before near ones."""

    def __init__(self, size: int, light: Light, horizon: float, tilt: float, eye: float) -> None:
        """Start black: `horizon` is its row in the middle, `tilt` its rise in rows a column, `eye` its height in m."""
        self.size, self.light, self.eye = size, light, eye
        self.air: Colours = light.sky_low * np.float32(0.9 if light.night else 1.0)
        self.rgb: Colours = np.zeros((size, size, 3), np.float32)
        self.owner: NDArray[np.uint16] = np.zeros((size, size), np.uint16)
        self.parts: list[tuple[str, int]] = [("", 0)]
        self.x: Plane = np.arange(size, dtype=np.float32)
        self.y: Plane = np.arange(size, dtype=np.float32)[:, None]
        self.skyline: Plane = np.float32(horizon) + np.float32(tilt) * (self.x - np.float32(size / 2))
        self.below: Plane = self.y - self.skyline
        """Shape (S, S): rows below the horizon; negative in the sky."""

    def lower(self) -> Self:
        """Return the same picture without the rows of nothing but sky: the ground is painted in half the time."""
        rows = np.flatnonzero((self.below > -1).any(axis=1))
        part = copy(self)
        first = int(rows[0]) if rows.size else self.size - 1
        part.rgb, part.owner = self.rgb[first:], self.owner[first:]
        part.y, part.below = self.y[first:], self.below[first:]
        return part

    def scale(self, x: float, y: float) -> float:
        """Return the picture pixels to a metre for what stands on the ground at column `x`, row `y`."""
        return max(0.05, (y - self.horizon_at(x)) / self.eye)

    def horizon_at(self, x: float) -> float:
        """Return the horizon's row in column `x` (which may lie outside the picture)."""
        return float(self.skyline[min(self.size - 1, max(0, int(x)))])

    def _own(self, label: str, area: int) -> int:
        self.parts.append((label, area))
        return len(self.parts) - 1

    def fill(self, cover: Real, colour: Real, label: str, far: float | None = None) -> None:
        """Lay stuff over the picture: `cover` (S, S) 0 to 1, `colour` (S, S, 3) or (3,) as in white light.

        `far` is its share of the whole haze; None takes it from the ground's distance, row by row.
        """
        rows = np.flatnonzero(cover.any(axis=1))
        if not rows.size:
            return
        band = slice(int(rows[0]), int(rows[-1]) + 1)
        below = self.below[band]
        lit = np.asarray(colour if colour.ndim == 1 else colour[band], np.float32) * self.light.tint
        distance = 1 / (1 + np.maximum(below, 0) * np.float32(9 / self.size)) if far is None else np.float32(far)
        haze = np.broadcast_to(np.float32(self.light.haze) * distance**2, below.shape)[:, :, None]
        lit = lit + haze * (self.air - lit)
        self._lay(cover, lit, label, band)

    def paint(self, cover: Real, colour: Real, label: str) -> None:
        """Lay finished colours over the picture, (S, S, 3) or (3,), light and haze already in them."""
        self._lay(cover, np.asarray(colour, np.float32), label, slice(0, self.size))

    def disc(self, x: float, y: float, radius: float) -> Plane:
        """Return the cover (S, S) of a disc; sizes in pixels."""
        distance: Plane = np.hypot(self.x - np.float32(x), self.y - np.float32(y))
        return (np.float32(radius) - distance).clip(0, 1)

    def _lay(self, cover: Real, colour: Colours, label: str, band: slice) -> None:
        """Lay the rows `band` of `cover` (S, S) over the picture, in `colour` (those rows only, or (3,))."""
        seen = np.asarray(cover[band], np.float32)
        self.rgb[band] += seen[:, :, None] * (colour - self.rgb[band])
        mine = seen > 0.5
        self.owner[band][mine] = self._own(label, int(mine.sum()))

    def _window(self, shape: tuple[int, ...], left: int, top: int) -> tuple[slice, slice, slice, slice] | None:
        """Return the picture's and the sprite's rows and columns that overlap, or None."""
        y0, y1 = max(0, top), min(self.size, top + shape[0])
        x0, x1 = max(0, left), min(self.size, left + shape[1])
        if y0 >= y1 or x0 >= x1:
            return None
        return slice(y0, y1), slice(x0, x1), slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)

    def _lit(self, sprite: Sprite, rows: slice, columns: slice, far: float) -> Colours:
        """Return a part of the sprite's colours in this light: brighter on the sun's side, hazy when far."""
        part = sprite.body[rows, columns]
        body = part[:, :, :3]
        side = np.linspace(-1, 1, sprite.body.shape[1], dtype=np.float32)[None, columns, None]
        gain = 1 + np.float32(0.28 * self.light.sun * (0.3 + self.light.shadow)) * side
        lit = body * (self.light.tint * gain)
        mix = np.float32(self.light.haze * far)
        lit += mix * (self.air * part[:, :, 3:] - lit)
        return np.asarray(lit, np.float32)

    def stamp(self, sprite: Sprite, x: float, y: float, label: str, far: float = 0.0) -> None:
        """Put a thing into the picture, the middle of its lower edge at column `x`, row `y`."""
        height, width = sprite.body.shape[:2]
        left, top = round(x - width / 2), round(y - height)
        cover = sprite.body[:, :, 3]
        mine = cover > 0.35
        index = self._own(label, int(mine.sum()))
        window = self._window(cover.shape, left, top)
        if window is None:
            return
        py, px, sy, sx = window
        patch = self.rgb[py, px]
        patch += self._lit(sprite, sy, sx, far) - cover[sy, sx, None] * patch
        if sprite.bright is not None:
            shine = sprite.bright[sy, sx]
            patch += shine[:, :, :3] - shine[:, :, 3:] * patch
        self.owner[py, px][mine[sy, sx]] = index

    def cast_shadow(self, sprite: Sprite, x: float, y: float) -> None:
        """Darken the ground where the thing stands between it and the light: its outline, laid down and blurred."""
        if self.light.shadow < 0.15:
            self._smudge(sprite, x, y)
            return
        cover = sprite.body[:, :, 3]
        height, width = cover.shape
        long = 0.55 if self.light.low else 0.28
        lean = -self.light.sun * (1.6 if self.light.low else 0.7)
        rows = max(2, int(height * long))
        up = np.arange(rows, 0, -1)
        shift = (lean * up).astype(np.intp)
        pad = int(abs(shift[0])) + 2
        columns = np.arange(-pad, width + pad)[None, :] - shift[:, None]
        source = ((rows - up) * height // rows)[:, None]
        laid = cover[source, np.clip(columns, 0, width - 1)] * ((columns >= 0) & (columns < width))
        soft = laid[:, 1:-1] * 0.5 + laid[:, 2:] * 0.25 + laid[:, :-2] * 0.25
        self._darken(np.asarray(soft * np.float32(self.light.shadow), np.float32), x, y + 1)

    def _smudge(self, sprite: Sprite, x: float, y: float) -> None:
        """Darken only the place where the thing touches the ground, as under an overcast sky."""
        width = sprite.body.shape[1]
        across = np.linspace(-1.6, 1.6, max(3, width))
        down = np.linspace(-1.6, 1.6, max(3, width // 4))
        depth = 0.3 * np.exp(-2 * (across[None, :] ** 2 + down[:, None] ** 2))
        self._darken(depth.astype(np.float32), x, y + width / 12)

    def _darken(self, depth: Plane, x: float, y: float) -> None:
        height, width = depth.shape
        window = self._window(depth.shape, round(x - width / 2), round(y - height))
        if window is not None:
            py, px, sy, sx = window
            self.rgb[py, px] *= 1 - depth[sy, sx, None]

    def glow(self, x: float, y: float, radius: float, colour: Colours) -> None:
        """Add a soft round light; `radius` in pixels, `colour` (3,) is what its middle gains."""
        across = np.exp(-(((self.x - np.float32(x)) / np.float32(radius)) ** 2))
        down = np.exp(-(((self.y[:, 0] - np.float32(y)) / np.float32(radius)) ** 2))
        self.rgb += np.outer(down, across)[:, :, None] * colour

    def labels(self) -> set[str]:
        """Return the labels of everything that can still be seen after all was painted."""
        seen = np.bincount(self.owner.ravel(), minlength=len(self.parts))
        found: set[str] = set()
        stuff: dict[str, int] = {}
        for (label, area), count in zip(self.parts, seen.tolist(), strict=True):
            if label in REGIONS:
                stuff[label] = stuff.get(label, 0) + count
            elif label and count >= _THING_PIXELS and (count >= _THING_SHARE * area or count > 0.02 * self.size**2):
                found.add(label)
        return found | {label for label, count in stuff.items() if count >= _REGION_SHARE * self.size**2}
