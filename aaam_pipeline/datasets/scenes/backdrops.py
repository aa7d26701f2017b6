"""Everything behind and below the things: sky, ridges, water, ground."""

import numpy as np

from aaam_pipeline.datasets.scenes import textures
from aaam_pipeline.datasets.scenes.canvas import Canvas
from aaam_pipeline.datasets.scenes.light import Colours
from aaam_pipeline.datasets.scenes.textures import Plane

_GROUNDS: dict[str, tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...]] = {
    "grass": (
        ((0.17, 0.33, 0.08), (0.38, 0.53, 0.18)),
        ((0.22, 0.36, 0.10), (0.45, 0.56, 0.22)),
        ((0.34, 0.38, 0.15), (0.58, 0.56, 0.28)),
    ),
    "sand": (((0.70, 0.58, 0.42), (0.90, 0.80, 0.62)), ((0.62, 0.54, 0.42), (0.84, 0.76, 0.62))),
    "road": (((0.28, 0.28, 0.29), (0.40, 0.40, 0.41)), ((0.36, 0.35, 0.33), (0.47, 0.46, 0.44))),
    "snow": (((0.76, 0.81, 0.90), (0.95, 0.96, 0.98)),),
    "paving": (((0.50, 0.48, 0.45), (0.66, 0.63, 0.59)), ((0.45, 0.43, 0.43), (0.58, 0.56, 0.55))),
}
"""By name, the darkest and the lightest colour of each kind of ground."""


def paint_sky(canvas: Canvas, rng: np.random.Generator, cloudy: float) -> None:
    """Paint the sky over the whole picture; `cloudy` is the chance of clouds that deserve their label."""
    light, size = canvas.light, canvas.size
    height = np.clip(-canvas.below / max(8.0, float(canvas.skyline.max())), 0, 1)[:, :, None]
    canvas.paint(np.ones((size, size), np.float32), light.sky_low + height * (light.sky_top - light.sky_low), "sky")
    if light.night:
        _stars(canvas, rng)
    elif rng.random() < cloudy:
        _clouds(canvas, rng)


def _clouds(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint clouds where the noise is high, brighter on top; flatter towards the horizon."""
    light, size = canvas.light, canvas.size
    near = np.maximum(-canvas.below, 0) / np.float32(size)
    left, top = rng.integers(0, textures.TILE, 2).astype(np.float32)
    u: Plane = (canvas.x - np.float32(size / 2)) * np.float32(0.54 * 128 / size) / (0.25 + near) + left
    v: Plane = 130 / (0.30 + near) + top
    noise = textures.sample("cloud", u, v) + 0.2 * textures.crop(rng, "rough", size, size)
    level = float(rng.uniform(-0.3, 0.7))
    cover = np.clip((noise - level) * 1.3, 0, 1) * np.clip(near * 12, 0, 1)
    white = np.minimum(1.0, light.tint * 1.08) * (0.75 + 0.25 * np.clip(noise - level, 0, 1))[:, :, None]
    warm = light.sky_low if light.low else np.float32(1)
    canvas.paint(cover * rng.uniform(0.75, 0.97), white * warm, "clouds")


def _stars(canvas: Canvas, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(0, 25))):
        x, y = rng.integers(0, canvas.size, 2)
        canvas.rgb[y, x] += np.float32(rng.uniform(0.1, 0.5))


def paint_sun(canvas: Canvas, rng: np.random.Generator) -> float | None:
    """Put the sun into the sky where there is room; return its column, or None."""
    x = (canvas.light.sun * 0.42 + 0.5) * canvas.size
    horizon = canvas.horizon_at(x)
    if horizon < 0.14 * canvas.size:
        return None
    y = horizon * float(rng.uniform(0.35, 0.9) if canvas.light.low else rng.uniform(0.1, 0.55))
    radius = canvas.size * float(rng.uniform(0.02, 0.055))
    colour = np.array((1.0, 0.86, 0.55) if canvas.light.low else (1.0, 0.98, 0.9), np.float32)
    canvas.glow(x, y, radius * 4, colour * 0.35)
    canvas.paint(canvas.disc(x, y, radius), colour * 1.15, "sun")
    return x


def paint_moon(canvas: Canvas, rng: np.random.Generator) -> None:
    """Put a moon into the night: what may be taken for a lamp. It has no label."""
    x, y = rng.uniform(0.1, 0.9) * canvas.size, rng.uniform(0.05, 0.3) * canvas.size
    moon = canvas.disc(x, y, canvas.size * rng.uniform(0.015, 0.035))
    canvas.paint(moon * (canvas.below < -4), np.full(3, 0.9), "")


def paint_ridge(canvas: Canvas, rng: np.random.Generator, snowy: float) -> None:
    """Paint mountains along the horizon; `snowy` is the share of their height that is white."""
    size = canvas.size
    profile = textures.line(rng, "soft", size, 0.55 * 128 / size) + 0.12 * textures.line(rng, "rough", size, 2.0)
    tall = float(rng.uniform(0.10, 0.30)) * size
    height = np.maximum(0.15, 0.55 + 0.33 * profile) * np.float32(tall)
    up = -canvas.below
    cover = np.clip(height - up, 0, 1) * (up > -1)
    u = np.broadcast_to(canvas.x * 1.4 + rng.integers(256), up.shape)
    rough = textures.sample("rough", u + up * 0.7, up * 1.1 + 40)
    lit = 1 + 0.16 * rough + 0.35 * canvas.light.sun * np.gradient(profile)[None, :] * size / 20
    base = np.array((0.36, 0.34, 0.33) if rng.random() < 0.6 else (0.26, 0.35, 0.24), np.float32)
    colour = base * np.clip(lit, 0.4, 1.6)[:, :, None]
    far = float(rng.uniform(0.55, 0.95))
    canvas.fill(cover, colour, "mountain", far)
    if snowy > 0:
        line = (1 - snowy) * tall * 1.1
        white = cover * np.clip((up - line + 5 * rough) * 0.4, 0, 1)
        bright = np.array((0.93, 0.95, 1.0), np.float32) * np.clip(lit, 0.75, 1.05)[:, :, None]
        canvas.fill(white, bright, "snow", far * 0.7)


def paint_trees(canvas: Canvas, rng: np.random.Generator, tall: float, share: float) -> None:
    """Paint a row of far trees: `tall` in rows above the horizon, over `share` of the picture's width."""
    size = canvas.size
    lumps = textures.line(rng, "rough", size, 1.3 * 128 / size)
    height = np.float32(tall) * (0.75 + 0.22 * lumps)
    if share < 1:
        start = float(rng.uniform(0, 1 - share)) * size
        inside = np.minimum(canvas.x - np.float32(start), np.float32(start + share * size) - canvas.x)
        height = height * np.clip(inside / (0.06 * size), 0, 1)
    up = -canvas.below
    noise = textures.crop(rng, "rough", size, size, 1.5)
    cover = np.clip(height - up + 2.0 * noise, 0, 1) * (up > -2) * (height > 1)
    base = np.array((0.15, 0.27, 0.10) if rng.random() < 0.8 else (0.30, 0.28, 0.12), np.float32)
    shade = np.clip(0.75 + 0.35 * up / max(tall, 1) + 0.28 * noise, 0.3, 1.6)
    canvas.fill(cover, base * shade[:, :, None], "tree", 0.55)


def paint_wall(canvas: Canvas, rng: np.random.Generator) -> None:
    """Close the view with a plain wall or a stand full of spectators: no sky above it, and no label for it."""
    size = canvas.size
    if rng.random() < 0.5:
        base = np.array((0.30, 0.32, 0.36), np.float32)
        specks = np.stack([textures.crop(rng, "white", size, size, 0.6) for _ in range(3)], axis=2)
        colour = base + 0.13 * specks + 0.08 * (np.sin(canvas.y * 1.1)[:, :, None])
    else:
        base = rng.uniform(0.3, 0.75, 3).astype(np.float32)
        grain = 1 + 0.06 * textures.crop(rng, "rough", size, size) + 0.05 * (np.sin(canvas.y * 0.9) > 0.8)
        colour = base * grain[:, :, None]
    canvas.fill((canvas.below < 1).astype(np.float32), np.clip(colour, 0, 1), "", 0.3)


def ground_places(canvas: Canvas, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Return where on the plane each pixel below the horizon looks, (u across, v away), in texels."""
    size = canvas.size
    below = np.maximum(canvas.below, 1) / np.float32(size)
    left, top = rng.integers(0, textures.TILE, 2).astype(np.float32)
    u: Plane = (canvas.x - np.float32(size / 2)) * np.float32(0.85 * 128 / size) / below + left
    v: Plane = 70 / below + top
    return u, v


def ground_colours(canvas: Canvas, rng: np.random.Generator, kind: str) -> Colours:
    """Return (S, S, 3) colours of a ground as in white light: grain near by, patches far away."""
    palettes = _GROUNDS[kind]
    dark, pale = (np.array(c, np.float32) for c in palettes[int(rng.integers(len(palettes)))])
    u, v = ground_places(canvas, rng)
    grain = textures.sample("blades" if kind == "grass" else "fine", u, v)
    patches = textures.sample("soft", u * 0.22, v * 0.22)
    near = np.clip(canvas.below * (2.2 / canvas.size), 0.12, 1)
    strong = {"grass": 0.30, "sand": 0.16, "snow": 0.10, "road": 0.20, "paving": 0.18}[kind]
    mix = np.clip(0.5 + strong * near * grain + 0.17 * patches, -0.25, 1.25)
    if kind == "paving":
        mix = mix - 0.5 * near * (((v % 40) < 4) | ((u % 40) < 3))
    return np.asarray(dark + mix[:, :, None] * (pale - dark), np.float32)


def paint_ground(canvas: Canvas, rng: np.random.Generator, kind: str) -> None:
    """Cover everything below the horizon."""
    label = "" if kind == "paving" else kind
    canvas.fill(np.clip(canvas.below + 0.5, 0, 1), ground_colours(canvas, rng, kind), label)


def paint_pitch(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a mown pitch: stripes, and white lines across or away."""
    u, v = ground_places(canvas, rng)
    colour = ground_colours(canvas, rng, "grass")
    stripes = np.sin(v * 0.06) if rng.random() < 0.5 else np.sin(u * 0.04)
    colour *= (1 + np.float32(rng.uniform(0, 0.12)) * np.sign(stripes))[:, :, None]
    near = np.maximum(canvas.below, 1) / canvas.size
    lines = np.zeros_like(near)
    for _ in range(int(rng.integers(0, 3))):
        away = rng.random() < 0.5
        place, width = (u - rng.normal(128, 90), 4.0) if away else (v - rng.uniform(90, 500), 9.0)
        lines = np.maximum(lines, np.clip(1.5 - np.abs(place) / width, 0, 1))
    colour += (0.8 * lines * np.clip(near * 3, 0.3, 1))[:, :, None] * (np.float32(0.92) - colour)
    canvas.fill(np.clip(canvas.below + 0.5, 0, 1), colour, "grass")


def paint_road(canvas: Canvas, rng: np.random.Generator, wide: float) -> None:
    """Lay a strip over the ground: away from the camera, or across; `wide` is its half width in metres."""
    metres = canvas.eye / np.maximum(canvas.below, 0.8)
    across = (canvas.x - canvas.size / 2) * metres
    away = 0.9 * canvas.size * metres
    if rng.random() < 0.65:
        bend = float(rng.normal(0, 0.012))
        side, along = across - np.float32(rng.normal(0, wide * 0.7)) - bend * away**2 * 0.1, away
    else:
        start = float(rng.uniform(0.15, 0.6))
        side, along = away - np.float32(0.9 * canvas.eye / start) - wide, across
    cover = np.clip((wide - np.abs(side)) / metres * 0.7, 0, 1) * (canvas.below > 0.5)
    colour = ground_colours(canvas, rng, "road")
    if rng.random() < 0.75:
        mark = np.clip((0.10 - np.abs(side)) / metres + 0.5, 0, 1) * ((along % 4) < 2.4)
        edge = np.clip((0.08 - np.abs(np.abs(side) - wide * 0.88)) / metres + 0.5, 0, 1)
        colour = colour + (0.85 * np.maximum(mark, edge))[:, :, None] * (np.float32(0.88) - colour)
    canvas.fill(cover, colour, "road")


def paint_sea(canvas: Canvas, rng: np.random.Generator, shore: float, sun: float | None) -> None:
    """Paint water from the horizon down to the row `shore`, where it ends in foam; `sun` is the glints' column."""
    size = canvas.size
    u, v = ground_places(canvas, rng)
    waves = textures.sample("waves", u * 0.5, v * 0.8) + 0.5 * textures.sample("fine", u, v)
    near = np.clip(canvas.below / size * 2.5, 0.15, 1)
    hues = ((0.06, 0.22, 0.34), (0.05, 0.30, 0.38), (0.20, 0.30, 0.33))
    deep = np.array(hues[int(rng.integers(len(hues)))], np.float32)
    mirror = np.clip(0.55 - 0.45 * near + 0.16 * waves, 0.02, 0.95)[:, :, None]
    edge = np.float32(shore) + canvas.skyline - canvas.skyline.mean() + 2.5 * textures.line(rng, "soft", size, 0.8)
    left = edge[None, :] - canvas.y
    shallow = np.clip(1 - left / (0.12 * size), 0, 1)[:, :, None] * (shore < size)
    body = deep + shallow * np.array((0.22, 0.22, 0.14), np.float32)
    colour = body * canvas.light.tint + mirror * (canvas.light.sky_low * 0.9 - body * canvas.light.tint)
    foam = np.clip(1 - np.abs(left - 1.5) / (1.5 + 2 * near), 0, 1) * (shore < size) * np.clip(0.7 + 0.4 * waves, 0, 1)
    foam = np.maximum(foam, np.clip((waves - 2.2) * 1.5, 0, 0.7) * near)
    colour = colour + foam[:, :, None] * (canvas.light.tint * 0.95 - colour)
    if sun is not None:
        column = np.exp(-(((canvas.x - np.float32(sun)) / (0.09 * size + 0.3 * np.maximum(canvas.below, 0))) ** 2))
        glint = column * np.clip(waves - 0.4, 0, 1)
        colour = colour + glint[:, :, None] * (np.array((1.0, 0.92, 0.75), np.float32) - colour)
    cover = np.clip(canvas.below + 0.5, 0, 1) * np.clip(left + 0.5, 0, 1)
    canvas.paint(cover, colour, "sea")
