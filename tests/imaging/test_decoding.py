"""Every kind of picture is shown as a viewer would show it."""

import numpy as np
import pytest
from imaging.heic_files import heic
from models.pictures import RED, WHITE, decode, encoded, photo, plain, png, png_chunk, press_profile, tiff, turned
from PIL import Image

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging.resizing import resize_square

HALF_RED = (255, 127, 127)


def assert_colour(pixels: np.ndarray, colour: tuple[int, int, int], within: int = 1) -> None:
    assert abs(pixels.astype(int) - np.array(colour)).max() <= within


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("RGB", (20, 20), RED), RED),
        (Image.new("L", (20, 20), 77), (77, 77, 77)),
        (Image.new("1", (20, 20), 1), WHITE),
        (Image.new("RGB", (20, 20), RED).convert("P"), RED),
        (Image.new("RGBA", (20, 20), (255, 0, 0, 255)), RED),
        (Image.new("RGBA", (20, 20), (0, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (20, 20), (255, 0, 0, 128)), HALF_RED),
        (Image.new("LA", (20, 20), (0, 0)), WHITE),
        (Image.new("LA", (20, 20), (0, 128)), (127, 127, 127)),
        (Image.new("I;16", (20, 20), 32768), (128, 128, 128)),
        (Image.new("I;16", (20, 20), 65535), WHITE),
        (Image.new("I;16", (20, 20), 0), (0, 0, 0)),
    ],
    ids=lambda value: f"{value.mode}" if isinstance(value, Image.Image) else None,
)
@pytest.mark.parametrize("scale", [1, 10])
def test_every_mode_of_png_is_shown_as_a_viewer_would(
    image: Image.Image, colour: tuple[int, int, int], scale: int
) -> None:
    large = image.resize((20 * scale, 20 * scale), Image.Resampling.NEAREST)
    assert_colour(decode(encoded(large)), colour)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM"])
@pytest.mark.parametrize("scale", [1, 10])
def test_every_format_is_decoded(kind: str, scale: int) -> None:
    decoded = resize_square(encoded(Image.new("RGB", (20 * scale, 30 * scale), (200, 30, 90)), kind), 16)
    assert (decoded.width, decoded.height) == (20 * scale, 30 * scale)
    assert_colour(decoded.pixels_SS3, (200, 30, 90), within=4)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_alpha_of_lossy_formats_is_shown_on_white(kind: str) -> None:
    assert_colour(decode(encoded(Image.new("RGBA", (20, 20), (255, 0, 0, 128)), kind)), HALF_RED, within=4)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_frame_or_page_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, "blue", "green")]
    pixels = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert_colour(pixels, RED, within=4)


def test_a_jpeg_of_several_pictures_is_its_first() -> None:
    image, others = photo(400, 300), [photo(40, 30, seed=2)]
    content = encoded(image, "MPO", save_all=True, append_images=others)
    decoded = resize_square(content, 16)
    assert (decoded.width, decoded.height) == (400, 300)
    assert abs(decoded.pixels_SS3.astype(int) - plain(content, 16)).mean() < 2


@pytest.mark.parametrize("scale", [1, 10])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_colour_is_shown_on_white(kind: str, scale: int) -> None:
    image = Image.new("P", (20 * scale, 20 * scale), 0)
    image.putpalette([0, 0, 255, *RED] + [0] * 750)
    image.paste(1, (0, 0, 10 * scale, 20 * scale))
    pixels = decode(encoded(image, kind, transparency=0))
    assert_colour(pixels[:, :6], RED)
    assert pixels[:, 10:].min() >= 254


def test_a_palette_with_alpha_for_each_colour() -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 255, *RED] + [0] * 750)
    assert_colour(decode(encoded(image, transparency=bytes([255, 128]))), HALF_RED)


@pytest.mark.parametrize("scale", [1, 10])
def test_one_colour_of_rgb_that_stands_for_transparency(scale: int) -> None:
    image = Image.new("RGB", (20 * scale, 20 * scale), (0, 0, 255))
    image.paste(RED, (0, 0, 10 * scale, 20 * scale))
    pixels = decode(encoded(image, transparency=(0, 0, 255)))
    assert_colour(pixels[:, :6], RED)
    assert pixels[:, 10:].min() >= 254


def test_a_colour_that_stands_for_transparency_is_not_mixed_with_its_neighbours() -> None:
    image = Image.new("RGB", (200, 200), (0, 0, 255))
    for place in range(0, 200, 2):
        image.paste(RED, (place, 0, place + 1, 200))
    assert_colour(decode(encoded(image, transparency=(0, 0, 255))), HALF_RED, within=4)


@pytest.mark.parametrize("size", [(20, 20), (200, 200)])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_the_colours_it_stands_for(kind: str, size: tuple[int, int]) -> None:
    content = encoded(Image.new("CMYK", size, (0, 255, 255, 0)), kind, **({"quality": 95} if kind == "JPEG" else {}))
    pixels = decode(content).astype(int)
    assert pixels[..., 0].min() > 200
    assert pixels[..., 1:].max() < 60


@pytest.mark.parametrize("size", [(20, 20), (200, 200)])
def test_ycck_becomes_the_colours_it_stands_for(size: tuple[int, int]) -> None:
    # the inks of pure red, coded as if they were light; Pillow writes four channels, inverted, and says they are CMYK
    y, cb, cr = Image.new("RGB", (1, 1), (0, 255, 255)).convert("YCbCr").getpixel((0, 0))
    image = Image.new("CMYK", size, (255 - y, 255 - cb, 255 - cr, 0))
    content = bytearray(encoded(image, "JPEG", quality=95))
    transform = content.index(b"Adobe") + 11
    assert content[transform] == 0
    content[transform] = 2
    assert_colour(decode(bytes(content)), RED, within=12)


@pytest.mark.parametrize("size", [(20, 20), (200, 200)])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_the_profile_of_the_press_decides_what_inks_look_like(kind: str, size: tuple[int, int]) -> None:
    # a press whose cyan is a strong green, L 88, a -86, b 83: sRGB's own green
    profile = press_profile(paper=(255, 128, 128), inks={0b1000: (224, 42, 211)})
    cyan = Image.new("CMYK", size, (255, 0, 0, 0))
    assert_colour(decode(encoded(cyan, kind)), (0, 255, 255), within=3)
    assert_colour(decode(encoded(cyan, kind, icc_profile=profile)), (0, 255, 0), within=12)


@pytest.mark.parametrize("profile", [b"no profile", b"", bytes(200)])
def test_a_damaged_profile_is_left_aside(profile: bytes) -> None:
    cyan = Image.new("CMYK", (20, 20), (255, 0, 0, 0))
    assert_colour(decode(encoded(cyan, "TIFF", icc_profile=profile)), (0, 255, 255), within=3)


def test_lab_becomes_the_colours_it_stands_for() -> None:
    assert_colour(decode(encoded(Image.new("LAB", (20, 20), (137, 208, 195)), "TIFF")), RED, within=30)


def test_deep_grey_keeps_its_gradient() -> None:
    ramp = np.tile(np.linspace(0, 65535, 64, dtype=np.uint16), (64, 1))
    for content in (encoded(Image.fromarray(ramp)), encoded(Image.fromarray(ramp), "TIFF"), png(ramp[..., None], 0)):
        pixels = decode(content).astype(int)[0, :, 0]
        assert (np.diff(pixels) > 0).all()
        assert pixels[0] < 16
        assert pixels[-1] > 239


def test_deep_colour_keeps_its_gradient() -> None:
    values = np.zeros((64, 64, 3), dtype=np.uint16)
    values[..., 0] = np.linspace(0, 65535, 64)
    values[..., 1] = 65535
    sides: dict[int, int | tuple[int, ...]] = {256: 64, 257: 64, 258: (16, 16, 16), 259: 1, 262: 2, 273: 0, 277: 3}
    as_tiff = tiff({**sides, 278: 64, 279: values.nbytes}, values.astype("<u2").tobytes())
    for content in (png(values, 2), as_tiff):
        pixels = decode(content).astype(int)
        assert (np.diff(pixels[0, :, 0]) > 0).all()
        assert pixels[..., 1].min() == 255
        assert pixels[..., 2].max() == 0


def test_deep_alpha_is_shown_on_white() -> None:
    red = np.full((20, 20, 4), (65535, 0, 0, 32896), dtype=np.uint16)
    assert_colour(decode(png(red, 6)), HALF_RED)
    black = np.full((20, 20, 2), (0, 32896), dtype=np.uint16)
    assert_colour(decode(png(black, 4)), (127, 127, 127))


ORIENTATIONS = [
    (1, "top left"),
    (2, "top right"),
    (3, "bottom right"),
    (4, "bottom left"),
    (5, "top left"),
    (6, "top right"),
    (7, "bottom right"),
    (8, "bottom left"),
]


@pytest.mark.parametrize(("orientation", "corner"), ORIENTATIONS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("scale", [1, 10])
def test_the_camera_s_orientation_is_applied(kind: str, orientation: int, corner: str, scale: int) -> None:
    assert_turned(kind, orientation, corner, scale)


@pytest.mark.parametrize(("orientation", "corner"), ORIENTATIONS)
def test_the_orientation_of_heic_is_applied_once(orientation: int, corner: str) -> None:
    assert_upright(heic(f"orientation {orientation}"), orientation, corner, 240, 160)


def assert_turned(kind: str, orientation: int, corner: str, scale: int) -> None:
    width, height = 60 * scale, 40 * scale
    image = Image.new("RGB", (width, height), "black")
    image.paste(RED, (0, 0, width // 2, height // 2))
    assert_upright(encoded(image, kind, exif=turned(orientation), quality=95), orientation, corner, width, height)


def assert_upright(content: bytes, orientation: int, corner: str, width: int, height: int) -> None:
    decoded = resize_square(content, 16)
    assert (decoded.width, decoded.height) == ((height, width) if orientation >= 5 else (width, height))
    y, x = np.argwhere(decoded.pixels_SS3[..., 0] > 128).mean(0)
    assert corner == f"{'top' if y < 8 else 'bottom'} {'left' if x < 8 else 'right'}"


@pytest.mark.parametrize("exif", [b"no exif", b"Exif\0\0MM\0*\0\0\xff\xff", turned(0), turned(99)])
def test_damaged_notes_of_the_camera_do_not_matter(exif: bytes) -> None:
    content = encoded(photo(), "JPEG")
    np.testing.assert_array_equal(decode(encoded(photo(), "JPEG", exif=exif)), decode(content))
    assert decode(png(np.zeros((9, 9, 3), np.uint16), 2, png_chunk(b"eXIf", exif))).max() == 0


def test_heic_is_decoded_with_its_extra() -> None:
    content = heic("red")
    decoded = resize_square(content, 16)
    assert (decoded.width, decoded.height) == (64, 40)
    assert_colour(decoded.pixels_SS3, RED, within=6)
    with pytest.raises(ImageError) as caught:
        resize_square(content, 16, max_pixels=2000)
    assert caught.value.kind == "too_large"


def test_heic_without_its_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pi_heif", None)
    with pytest.raises(ImageError, match=r"aaam-pipe\[heic\]") as caught:
        decode(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(100))
    assert caught.value.kind == "unsupported"
    # AVIF has the same container, and needs no extra
    assert_colour(decode(encoded(Image.new("RGB", (64, 40), RED), "AVIF")), RED, within=6)
