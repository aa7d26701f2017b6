"""The perceptual hash: copies have nearly the same, whatever the model's size; flat pictures have none."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from aaam_pipeline.datasets.scenes.compose import compose
from aaam_pipeline.imaging.hashes import BITS, COLUMNS, ROWS, perceptual_hash
from aaam_pipeline.imaging.resizing import resize_square


def drawn(seed: int, size: int = 160) -> Image.Image:
    return compose(np.random.default_rng(seed), size).image


def encoded(picture: Image.Image, quality: int = 90, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def hashed(content: bytes, size: int = 224) -> str | None:
    return perceptual_hash(resize_square(content, size).pixels_SS3)


def distance(one: str | None, other: str | None) -> int:
    assert one is not None
    assert other is not None
    return (int(one, 16) ^ int(other, 16)).bit_count()


def test_it_is_the_signs_of_the_lowest_frequencies_of_a_cosine_transform() -> None:
    # the definition of DCT-II, written out
    grey = np.asarray(drawn(1, 64).convert("L"), dtype=np.float64)
    x = np.arange(64)
    bits = [
        np.sum(grey * np.cos(np.pi * (2 * x[:, None] + 1) * row / 128) * np.cos(np.pi * (2 * x + 1) * column / 128)) > 0
        for row, column in zip(ROWS.tolist(), COLUMNS.tolist(), strict=True)
    ]
    expected = np.packbits(bits).tobytes().hex()
    # amplitudes that are nearly 0 may come out with either sign
    assert distance(perceptual_hash(np.asarray(drawn(1, 64))), expected) <= 3
    assert len(expected) == BITS // 4 == 64
    assert (ROWS + COLUMNS).tolist() == sorted((ROWS + COLUMNS).tolist())
    assert (ROWS + COLUMNS).min() == 1


@pytest.mark.parametrize("seed", range(4))
def test_copies_are_near_and_other_pictures_far(seed: int) -> None:
    picture = drawn(seed)
    own = hashed(encoded(picture))
    copies = [
        encoded(picture, 30),
        encoded(picture.resize((40, 40))),
        encoded(picture.convert("L")),
        encoded(ImageEnhance.Brightness(picture).enhance(0.7)),
        encoded(picture.crop((2, 1, 158, 159))),
    ]
    assert max(distance(own, hashed(copy)) for copy in copies) <= 60
    others = [hashed(encoded(drawn(other))) for other in range(10, 40)]
    assert min(distance(own, other) for other in others) > 60


@pytest.mark.parametrize("size", [32, 64, 96, 160, 299, 448])
def test_it_hardly_depends_on_the_size_that_a_model_takes(size: int) -> None:
    # large enough that JPEG is decoded at reduced scale for the small sizes
    content = encoded(drawn(3, 320).resize((1600, 1200)))
    assert distance(hashed(content), hashed(content, size)) <= 8


def test_it_is_that_of_the_picture_as_shown() -> None:
    picture = drawn(5)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(picture.rotate(90, expand=True), exif=exif)
    assert distance(hashed(encoded(picture)), hashed(turned)) <= 8
    assert distance(hashed(encoded(picture)), hashed(encoded(picture.rotate(90, expand=True)))) > 60


def flat_pictures() -> dict[str, Image.Image]:
    chance = np.random.default_rng(0)
    down, across = np.linspace(0, 1, 240)[:, None], np.linspace(0, 1, 320)
    grey = {
        "sky": 90 + 100 * down + 20 * across + chance.normal(0, 2, (240, 320)),
        "clean sky": 60 + 120 * down + 0 * across,
        "scan of an empty page": 245 - 6 * across + chance.normal(0, 3, (240, 320)),
        "two halves": np.where(down < 0.4, 200, 60) + 0 * across,
    }
    colours = {name: Image.new("RGB", (64, 48), name) for name in ("black", "white", "red")}
    return colours | {name: Image.fromarray(each.clip(0, 255).astype(np.uint8)) for name, each in grey.items()}


@pytest.mark.parametrize("name", list(flat_pictures()))
def test_a_flat_picture_has_none(name: str) -> None:
    assert hashed(encoded(flat_pictures()[name])) is None


def page(seed: int) -> Image.Image:
    """Return a page of lines of letters, as a scanner makes them by the hundred."""
    chance = np.random.default_rng(seed)
    picture = Image.new("L", (620, 877), "white")
    draw = ImageDraw.Draw(picture)
    for line in range(75, 800, 21):
        if chance.random() > 0.1:
            length = int(chance.integers(30, 75))
            draw.text((60, line), "".join(chance.choice(list("etaoin shr dlu "), length)), fill="black")
    return picture


def test_pages_of_text_are_not_taken_for_each_other() -> None:
    pages = [hashed(encoded(page(seed))) for seed in range(8)]
    assert min(distance(one, other) for one in pages for other in pages if one is not other) > 60
