"""Pictures that are no photographs, drawn: what a model of photographs should find unlike all it was trained with.

Each kind takes a random generator and a side in pixels, and returns a picture of about that size.
"""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from aaam_pipeline.datasets.scenes.compose import compose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Random = np.random.Generator
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
PAPER = 0.8


def scene(random: Random, side: int) -> Image.Image:
    """Return a scene of the data set `scenes`."""
    return compose(random, side).image.convert("RGB")


def page(random: Random, side: int) -> Image.Image:
    """Return a page of printed text with headings, perhaps in two columns."""
    dark = random.random() > PAPER
    image = Image.new("RGB", (side, int(side * 1.4)), _paper(random, dark))
    draw, columns = ImageDraw.Draw(image), int(random.integers(1, 3))
    size = float(random.uniform(7, 13)) * side / 320
    margin, width = side * 0.08, side * 0.84 / columns
    for column in range(columns):
        y = margin
        while y < image.height - margin:
            heading = random.random() < 0.05
            font = ImageFont.load_default(size * (1.6 if heading else 1))
            left, right, x = margin + column * width, margin + (column + 0.95) * width, margin + column * width
            while (x < right and random.random() > 0.04) or x == left:
                word = _word(random)
                long = draw.textlength(word + " ", font)
                if x + long > right and x > left:
                    break
                draw.text((x, y), word, (210, 210, 200) if dark else (25, 25, 30), font)
                x += long
            y += size * (2.2 if heading else 1.35)
    return image


def screenshot(random: Random, side: int) -> Image.Image:
    """Return the windows of a desktop: bars, menus, buttons, lists and text."""
    dark = random.random() < 0.4
    ground, ink = ((30, 32, 36), (225, 225, 225)) if dark else ((245, 245, 247), (35, 35, 40))
    image = Image.new("RGB", (side * 16 // 10, side), _colour(random) if random.random() < 0.4 else ground)
    draw, accent = ImageDraw.Draw(image), _colour(random)
    for _ in range(int(random.integers(1, 4))):
        x0, y0 = random.uniform(0, 0.3, 2) * (image.width, image.height)
        x1, y1 = (x0 + random.uniform(0.5, 0.7) * image.width, y0 + random.uniform(0.5, 0.7) * image.height)
        draw.rectangle((x0, y0, x1, y1), ground, (128, 128, 128))
        draw.rectangle((x0, y0, x1, y0 + side * 0.05), accent)
        font, step = ImageFont.load_default(side * 0.025), side * 0.045
        menu = x0 + 0.25 * (x1 - x0)
        draw.rectangle((x0, y0 + side * 0.05, menu, y1), tuple(max(each - 14, 0) for each in ground))
        for y in np.arange(y0 + side * 0.07, y1 - step, step):
            draw.text((x0 + 6, y), _word(random), ink, font)
            if random.random() < 0.15:
                draw.rounded_rectangle((menu + 8, y, menu + 60, y + step * 0.8), 4, accent)
            else:
                words = " ".join(_word(random) for _ in range(int(random.integers(1, 9))))
                draw.text((menu + 8, y), words, ink, font)
    return image


def noise(random: Random, side: int) -> Image.Image:
    """Return noise: of each pixel or of larger spots, grey or coloured."""
    spot, channels = int(random.choice([1, 1, 2, 4, 8, 16])), int(random.choice([1, 3]))
    small = random.integers(0, 256, (side // spot, side // spot, channels), np.uint8)
    if random.random() < 0.5:
        small = random.normal(128, random.uniform(10, 60), small.shape).clip(0, 255).astype(np.uint8)
    return _rgb(small).resize((side, side), Image.Resampling.BICUBIC)


def gradient(random: Random, side: int) -> Image.Image:
    """Return one colour, or one that changes into another."""
    first, last = np.array(_colour(random)), np.array(_colour(random))
    if random.random() < 0.4:
        last = first
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:side, :side] / side - 0.5
    share = (x * np.cos(angle) + y * np.sin(angle) + 0.71) / 1.42
    if random.random() < 0.3:
        share = np.hypot(x, y) / 0.71
    return _rgb((first + share[..., None] * (last - first)).clip(0, 255).astype(np.uint8))


def line_art(random: Random, side: int) -> Image.Image:
    """Return a scan of a drawing: outlines with a pen on paper, a little turned and grainy."""
    image = Image.new("L", (side, side), 240)
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(5, 30))):
        centre, radius, points = random.uniform(0, side, 2), random.uniform(0.03, 0.35) * side, random.integers(4, 40)
        angles = np.sort(random.uniform(0, random.uniform(2, 7), points))
        away = radius * (1 + random.uniform(0, 0.5) * np.sin(random.integers(1, 6) * angles + random.uniform(0, 6)))
        outline = centre + away[:, None] * np.stack([np.cos(angles), random.uniform(0.3, 1) * np.sin(angles)], 1)
        draw.line([tuple(each) for each in outline.tolist()], int(random.integers(10, 90)), int(random.integers(1, 4)))
    turned = image.rotate(random.uniform(-4, 4), Image.Resampling.BICUBIC, fillcolor=240)
    grains = random.normal(0, random.uniform(2, 9), (side, side))
    blurred = turned.filter(ImageFilter.GaussianBlur(random.uniform(0, 0.8)))
    return _rgb((np.asarray(blurred) + grains).clip(0, 255).astype(np.uint8)[..., None])


def chart(random: Random, side: int) -> Image.Image:
    """Return lines, bars, points or shares with axes and a legend, drawn by Matplotlib."""
    return _figure(random, side, _plot)


def spectrogram(random: Random, side: int) -> Image.Image:
    """Return a spectrogram of tones and noise, with axes or without."""
    return _figure(random, side, _spectrum)


KINDS: dict[str, Callable[[Random, int], Image.Image]] = {
    "scenes (generated)": scene,
    "pages of text": page,
    "screenshots": screenshot,
    "noise": noise,
    "flat and gradients": gradient,
    "line art": line_art,
    "charts": chart,
    "spectrograms": spectrogram,
}


def _figure(random: Random, side: int, fill: Callable[[Random, "Figure"], None]) -> Image.Image:
    from matplotlib.figure import Figure

    figure = Figure((4, random.uniform(2.6, 4)), dpi=side / 4)
    fill(random, figure)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return Image.open(content).convert("RGB")


def _plot(random: Random, figure: "Figure") -> None:
    axes = figure.subplots()
    kind, count = random.integers(0, 4), int(random.integers(1, 6))
    if kind == 0:
        for number in range(count):
            axes.plot(random.normal(0, 1, 60).cumsum(), label=f"{_word(random)} {number}")
    elif kind == 1:
        axes.bar(range(3 + count), random.uniform(1, 9, 3 + count), label=_word(random), color=_unit(random))
    elif kind == 2:
        for number in range(count):
            x, y = random.normal(number, 1, (2, 50))
            axes.scatter(x, y, s=8, label=_word(random))
    else:
        axes.pie(random.uniform(1, 5, 2 + count), labels=[_word(random) for _ in range(2 + count)])
    axes.set_title(_word(random))
    axes.grid(random.random() < 0.5)
    if kind < 3:
        axes.legend()


def _spectrum(random: Random, figure: "Figure") -> None:
    axes = figure.add_axes((0, 0, 1, 1)) if random.random() < 0.5 else figure.subplots()
    seconds = np.arange(16000) / 8000
    sound = random.normal(0, 0.2, len(seconds))
    for _ in range(int(random.integers(1, 6))):
        tone, sweep = random.uniform(100, 3000), random.uniform(-800, 800)
        sound += np.sin(2 * np.pi * (tone + sweep * seconds) * seconds) * (random.random(1) + np.sin(seconds * 9))
    colours = str(random.choice(["viridis", "magma", "jet", "gray_r", "inferno"]))
    axes.specgram(sound, NFFT=256, Fs=8000, noverlap=128, cmap=colours)


def _word(random: Random) -> str:
    letters = random.zipf(1.3, int(random.integers(1, 11))) % len(LETTERS)
    return "".join(LETTERS[each] for each in letters)


def _colour(random: Random) -> tuple[int, int, int]:
    red, green, blue = random.integers(0, 256, 3).tolist()
    return red, green, blue


def _unit(random: Random) -> tuple[float, float, float]:
    red, green, blue = random.uniform(0, 1, 3).tolist()
    return red, green, blue


def _paper(random: Random, dark: bool) -> tuple[int, int, int]:
    shade = int(random.integers(10, 50) if dark else random.integers(225, 256))
    return shade, shade, max(shade - int(random.integers(0, 15)), 0)


def _rgb(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
