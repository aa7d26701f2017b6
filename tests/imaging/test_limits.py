"""Which pictures are too large: by what decoding them takes, and above what cameras make."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from models.pictures import encoded, kind_of, photo, png_chunk
from PIL import Image

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging import MAX_PIXELS
from aaam_pipeline.imaging.decoding import opened
from aaam_pipeline.imaging.resizing import resize_square


def header(kind: str, width: int, height: int) -> bytes:
    """A file of that size by its header; there are no such pixels in it."""
    if kind == "PNG":
        small = encoded(photo())
        return small[:8] + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + small[33:]
    small = encoded(photo(), "JPEG", progressive=kind == "progressive JPEG")
    place = small.index(b"\xff\xc2" if kind == "progressive JPEG" else b"\xff\xc0") + 5
    return small[:place] + struct.pack(">HH", height, width) + small[place + 4 :]


@pytest.mark.parametrize(
    ("kind", "width", "height"),
    [
        ("JPEG", 16_320, 12_240),
        ("JPEG", 32_000, 32_000),
        ("progressive JPEG", 16_384, 16_384),
        ("PNG", 16_384, 16_384),
        ("PNG", 17_000, 15_000),
    ],
)
def test_what_cameras_make_is_opened(kind: str, width: int, height: int) -> None:
    with opened(header(kind, width, height)) as image:
        assert image.size == (width, height)


@pytest.mark.parametrize(
    ("kind", "width", "height"),
    [
        ("JPEG", 40_000, 40_000),
        # too flat to be decoded at an eighth
        ("JPEG", 65_000, 8_000),
        ("progressive JPEG", 20_000, 20_000),
        ("PNG", 16_385, 16_384),
        ("PNG", 100_000, 100_000),
    ],
)
def test_what_is_larger_is_refused_in_our_words(kind: str, width: int, height: int) -> None:
    with pytest.raises(ImageError) as caught, opened(header(kind, width, height)):
        pass
    assert caught.value.kind == "too_large"
    pattern = rf"({width} x {height}|{width * height}) pixels, over the limit of {MAX_PIXELS}; --max-pixels raises it"
    assert re.fullmatch(pattern, str(caught.value))


def test_the_limit_that_is_named_can_be_raised() -> None:
    content = header("PNG", 16_385, 16_384)
    with opened(content, 16_385 * 16_384) as image:
        assert image.size == (16_385, 16_384)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory")
def test_a_picture_of_200_megapixels_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(Image.new("L", (16_320, 12_240), 99), "JPEG"))
    code = """
import sys
from pathlib import Path
from aaam_pipeline.imaging.resizing import resize_square
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
decoded = resize_square(Path(sys.argv[1]).read_bytes(), 224)
assert (decoded.width, decoded.height) == (16_320, 12_240)
assert (decoded.pixels_SS3 == 99).all()
print((peak() - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.jpg")], capture_output=True, check=True)
    assert int(done.stdout) < 60


def test_a_limit_below_that_of_pillow_is_not_raised_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    content = encoded(photo(40, 30))
    assert kind_of(content, max_pixels=1000) == "too_large"
    assert resize_square(content, 16, max_pixels=1200).width == 40
