"""Grey of 16 and 32 bits is seen in the range and direction that its format says; what none says is unsupported."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from models.pictures import decode, encoded, png, png_chunk, tiff
from PIL import Image

from aaam_pipeline.core.errors import ImageError

SIDE = 64
RAMP = np.tile(np.linspace(0, 1, SIDE), (SIDE, 1))
SEEN = (RAMP[0] * 255).reshape(16, 4).mean(1)
FORMATS = {"u": 1, "i": 2, "f": 3}


def grey_tiff(
    values: np.ndarray, order: str = "<", white_is_zero: bool = False, ends: tuple[float, float] | None = None
) -> bytes:
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = {256: values.shape[1], 257: values.shape[0], 258: values.dtype.itemsize * 8, 259: 1}
    tags |= {262: int(not white_is_zero), 273: 0, 277: 1, 278: values.shape[0], 279: len(data)}
    tags |= {339: FORMATS[values.dtype.kind]} | (dict(zip((340, 341), ends, strict=True)) if ends else {})
    return tiff(tags, data, order)


def assert_seen(content: bytes, expected: np.ndarray = SEEN) -> None:
    assert abs(decode(content).astype(int) - expected[None, :, None]).max() <= 3


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("scale", [1, 4])
def test_16_bits_in_both_directions(order: str, white_is_zero: bool, scale: int) -> None:
    values = (RAMP * 65535).repeat(scale, 0).repeat(scale, 1).astype(np.uint16)
    assert_seen(grey_tiff(values, order, white_is_zero), SEEN[::-1] if white_is_zero else SEEN)


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate"])
def test_compressed_ones_are_the_same(white_is_zero: bool, compression: str) -> None:
    image = Image.fromarray((RAMP * 65535).astype(np.uint16))
    content = encoded(image, "TIFF", compression=compression, tiffinfo={262: int(not white_is_zero)})
    assert_seen(content, SEEN[::-1] if white_is_zero else SEEN)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_floats_from_0_to_1(order: str, white_is_zero: bool) -> None:
    assert_seen(grey_tiff(RAMP.astype(np.float32), order, white_is_zero), SEEN[::-1] if white_is_zero else SEEN)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        (RAMP.astype(np.float32) * 5 - 2, (-2.0, 3.0)),
        (RAMP.astype(np.float32) * 255, (0.0, 255.0)),
        ((RAMP * 1000).astype(np.int32) - 500, (-500.0, 500.0)),
        ((RAMP * 3e9).astype(np.uint32), (0, 3_000_000_000)),
        ((RAMP * 4095).astype(np.uint16), (0, 4095)),
        ((RAMP * 4095).astype(np.int16) - 1000, (-1000.0, 3095.0)),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, np.ndarray) else None,
)
def test_the_range_that_a_tiff_says(values: np.ndarray, ends: tuple[float, float]) -> None:
    assert_seen(grey_tiff(values, ends=ends))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (RAMP.astype(np.float32) * 255, "floats from 0 to 255 without their range"),
        (RAMP.astype(np.float32) - 0.5, "floats from -0.5 to 0.5 without"),
        ((RAMP * 255).astype(np.int32), "whole numbers of 32 bits with a sign without"),
        ((RAMP * 255).astype(np.uint32), "whole numbers of 32 bits without"),
        ((RAMP * 255).astype(np.int16), "whole numbers of 16 bits with a sign without"),
        (RAMP.astype(np.float16), "TIFF of floats of 16 bits"),
        (RAMP.astype(np.float64), "TIFF of floats of 64 bits"),
    ],
)
def test_what_no_format_says_is_not_guessed(values: np.ndarray, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        decode(grey_tiff(values))
    assert caught.value.kind == "unsupported"


def test_a_dark_picture_of_16_bits_stays_dark() -> None:
    assert decode(grey_tiff(np.full((SIDE, SIDE), 200, np.uint16))).max() == 0


def test_12_bits_have_4096_levels() -> None:
    levels = (RAMP * 4095).astype(int)
    first, second = levels[:, ::2], levels[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8).tobytes()
    tags = {256: SIDE, 257: SIDE, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: SIDE, 279: len(packed)}
    assert_seen(tiff(tags, packed))


def test_what_is_no_number_is_black() -> None:
    values = np.full((20, 20), 0.8, np.float32)
    values[:, 10:] = np.nan
    values[0, 0] = np.inf
    pixels = decode(grey_tiff(values))
    assert abs(pixels[4:, :6].astype(int) - 204).max() <= 1
    assert pixels[:, 10:].max() == 0


def test_the_deep_grey_of_other_formats() -> None:
    values = (RAMP * 65535).astype(np.uint16)
    assert_seen(png(values[..., None], 0))
    assert_seen(encoded(Image.fromarray(values), "PPM"))
    assert_seen(encoded(Image.fromarray(values), "JPEG2000"))
    assert_seen(encoded(Image.fromarray(RAMP.astype(np.float32)), "PPM"))
    with pytest.raises(ImageError, match="floats from 0 to 9 without"):
        decode(encoded(Image.fromarray(RAMP.astype(np.float32) * 9), "PPM"))


def test_a_deep_grey_that_stands_for_transparency_is_white() -> None:
    values = np.zeros((20, 20, 1), np.uint16)
    values[:, 10:] = 300
    pixels = decode(png(values, 0, png_chunk(b"tRNS", (300).to_bytes(2))))
    assert pixels[:, :6].max() == 0
    assert pixels[:, 10:].min() == 255


MEASURE = """
import sys
from pathlib import Path
from aaam_pipeline.imaging.resizing import resize_square
def peak(content):
    resize_square(content, 224)
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
small, large = (Path(name).read_bytes() for name in sys.argv[1:])
print(-peak(small) + peak(large))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory")
@pytest.mark.parametrize(("kind", "numbers"), [("I;16", 2), ("F", 4), ("P", 1), ("RGB", 4)])
def test_a_large_picture_takes_little_more_memory_than_its_numbers(kind: str, numbers: int, tmp_path: Path) -> None:
    side = 6000
    options = {"transparency": 0} if kind == "P" else {}
    for name, length in (("small", 1500), ("large", side)):
        content = encoded(Image.new(kind, (length, length)), "TIFF" if kind == "F" else "PNG", **options)
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert int(done.stdout) / side**2 < numbers + 1.5
