import io

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.models.preprocess import MAX_PIXELS, Preprocess, to_rgb

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decode(content: bytes, size: int = 16) -> np.ndarray:
    return Preprocess(size=size).decode(content).pixels_SS3


def photo(width: int = 40, height: int = 30) -> Image.Image:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def test_the_result_is_a_square_of_bytes_and_the_size_as_shown() -> None:
    decoded = Preprocess(size=24).decode(encoded(photo(40, 30)))
    assert decoded.pixels_SS3.shape == (24, 24, 3)
    assert decoded.pixels_SS3.dtype == np.uint8
    assert (decoded.width, decoded.height) == (40, 30)


def test_a_picture_of_the_right_size_is_unchanged() -> None:
    np.testing.assert_array_equal(decode(encoded(photo(16, 16))), np.asarray(photo(16, 16)))


def test_shrinking_averages_over_the_whole_picture() -> None:
    # without antialiasing the fine stripes would become moire or one flat colour
    stripes = np.zeros((320, 320, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    pixels = decode(encoded(Image.fromarray(stripes)))
    assert abs(pixels.astype(int) - 128).max() <= 4


def test_nothing_at_the_borders_is_lost() -> None:
    wide = np.zeros((20, 200, 3), dtype=np.uint8)
    wide[:, :20] = wide[:, -20:] = 255
    pixels = decode(encoded(Image.fromarray(wide)))
    assert pixels[:, 0].min() > 200
    assert pixels[:, -1].min() > 200
    assert pixels[:, 8].max() < 50


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("RGB", (20, 20), RED), RED),
        (Image.new("L", (20, 20), 77), (77, 77, 77)),
        (Image.new("1", (20, 20), 1), WHITE),
        (Image.new("RGB", (20, 20), RED).convert("P"), RED),
        (Image.new("RGBA", (20, 20), (255, 0, 0, 255)), RED),
        (Image.new("RGBA", (20, 20), (0, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (20, 20), (255, 0, 0, 128)), (255, 127, 127)),
        (Image.new("LA", (20, 20), (0, 0)), WHITE),
        (Image.new("I;16", (20, 20), 32768), (128, 128, 128)),
        (Image.new("I;16", (20, 20), 65535), WHITE),
        (Image.new("I;16", (20, 20), 0), (0, 0, 0)),
    ],
    ids=lambda value: f"{value.mode}" if isinstance(value, Image.Image) else None,
)
def test_every_mode_of_png_is_shown_as_a_viewer_would(image: Image.Image, colour: tuple[int, int, int]) -> None:
    pixels = decode(encoded(image))
    assert abs(pixels.astype(int) - np.array(colour)).max() <= 1


def test_a_palette_with_a_transparent_colour_is_shown_on_white() -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([0, 0, 255, *RED] + [0] * 750)
    image.paste(1, (0, 0, 10, 20))
    pixels = decode(encoded(image, transparency=0))
    assert abs(pixels[:, :6].astype(int) - np.array(RED)).max() <= 1
    assert pixels[:, 10:].min() >= 254


def test_cmyk_becomes_the_colours_it_stands_for() -> None:
    image = Image.new("CMYK", (20, 20), (0, 255, 255, 0))
    pixels = decode(encoded(image, "JPEG", quality=95)).astype(int)
    assert pixels[..., 0].min() > 200
    assert pixels[..., 1:].max() < 60


def test_deep_grey_keeps_its_gradient() -> None:
    ramp = np.tile(np.linspace(0, 65535, 64, dtype=np.uint16), (64, 1))
    pixels = decode(encoded(Image.fromarray(ramp))).astype(int)[0, :, 0]
    assert (np.diff(pixels) > 0).all()
    assert pixels[0] < 16
    assert pixels[-1] > 239


@pytest.mark.parametrize("mode", ["F", "I"])
def test_tiff_of_wide_numbers_is_decoded(mode: str) -> None:
    pixels = decode(encoded(Image.new(mode, (20, 20), 100), "TIFF"))
    assert abs(pixels.astype(int) - 100).max() <= 1


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, "top left"), (2, "top right"), (3, "bottom right"), (4, "bottom left"), (6, "top right"), (8, "bottom left")],
)
def test_the_camera_s_orientation_is_applied(orientation: int, corner: str) -> None:
    image = Image.new("RGB", (60, 40), "black")
    image.paste(RED, (0, 0, 30, 20))
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = Preprocess(size=16).decode(encoded(image, "JPEG", exif=exif, quality=95))
    assert (decoded.width, decoded.height) == ((40, 60) if orientation >= 5 else (60, 40))
    red = decoded.pixels_SS3[..., 0] > 128
    y, x = np.argwhere(red).mean(0)
    assert corner == f"{'top' if y < 8 else 'bottom'} {'left' if x < 8 else 'right'}"


def kind_of(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        Preprocess(size=16).decode(content)
    assert str(caught.value)
    return caught.value.kind


def test_an_empty_file() -> None:
    assert kind_of(b"") == "empty_file"


@pytest.mark.parametrize("content", [b"this is text", b"\xff\xd8", bytes(1000), b"<svg/>", b"%PDF-1.4"])
def test_what_is_no_image(content: bytes) -> None:
    assert kind_of(content) == "not_an_image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_a_file_cut_in_half(kind: str) -> None:
    content = encoded(photo(), kind)
    assert kind_of(content[: len(content) // 2]) in ("truncated", "not_an_image")
    if kind in ("JPEG", "PNG"):
        assert kind_of(content[: len(content) // 2]) == "truncated"


def test_a_picture_over_the_limit_is_refused_before_it_fills_the_memory() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    assert kind_of(encoded(Image.new("1", (side, side)), compress_level=1)) == "too_large"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "TGA", "ICO"])
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(seed=st.integers(0, 2**32), damage=st.integers(1, 12))
def test_damage_of_any_kind_is_an_image_error_or_a_picture(kind: str, seed: int, damage: int) -> None:
    image = photo(32, 32)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = bytearray(encoded(image, kind, **({"exif": exif} if kind in ("JPEG", "TIFF", "PNG", "WEBP") else {})))
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, min(len(content), 400), damage):
        content[place] = rng.integers(0, 256)
    outcome: object
    try:
        outcome = decode(bytes(content)).shape
    except ImageError as error:
        outcome = error.kind
    assert outcome in ((16, 16, 3), "empty_file", "not_an_image", "truncated", "too_large", "unreadable")


def test_normalising_is_torchvision_s() -> None:
    pixels = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    preprocess = Preprocess(size=16, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    theirs = v2.Normalize(preprocess.mean, preprocess.std)(
        v2.functional.to_dtype(pixels.permute(0, 3, 1, 2), scale=True)
    )
    ours = preprocess.normalise(pixels)
    torch.testing.assert_close(ours, theirs)
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_to_rgb_has_three_channels_for_any_picture() -> None:
    assert to_rgb(encoded(Image.new("RGBA", (3, 5)))).mode == "RGB"
