"""Whatever is wrong with a file is an `ImageError` of the right kind, found before it fills the memory."""

import subprocess
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.pictures import decode, encoded, kind_of, photo, tiff, turned
from PIL import Image, features

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging.resizing import resize_square

KINDS = ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "AVIF", "JPEG2000", "PPM"]


def test_pillow_is_built_with_every_format() -> None:
    assert all(features.check(name) for name in ("jpg", "zlib", "webp", "avif", "libtiff", "jpg_2000", "littlecms2"))


def test_an_empty_file() -> None:
    assert kind_of(b"") == "empty_file"


@pytest.mark.parametrize(
    "content",
    [
        b"this is text",
        b"\xff\xd8",
        bytes(1000),
        b"<html><svg/></html>",
        b"BMW, a car",
        b"P5, a page",
        b"\0\0\0\x18ftyp",
    ],
)
def test_what_is_no_image(content: bytes) -> None:
    assert kind_of(content) == "not_an_image"


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_in_half(kind: str) -> None:
    content = encoded(photo(), kind)
    assert kind_of(content[: len(content) // 2]) == "truncated"
    if kind in ("JPEG", "PNG", "WEBP"):
        # in its header, too
        assert all(kind_of(content[:end]) == "truncated" for end in range(20, 60, 7))


@pytest.mark.parametrize("progressive", [True, False])
def test_a_large_jpeg_cut_off_is_found_at_reduced_scale_too(progressive: bool) -> None:
    content = encoded(photo(800, 600), "JPEG", progressive=progressive)
    assert kind_of(content[: len(content) * 3 // 4]) == "truncated"


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(seed=st.integers(0, 2**32), damage=st.integers(1, 12))
def test_damage_of_any_kind_is_an_image_error_or_a_picture(kind: str, seed: int, damage: int) -> None:
    side = 32 if seed % 2 else 200
    exif = {"exif": turned(6)} if kind in ("JPEG", "TIFF", "PNG", "WEBP", "AVIF") else {}
    content = bytearray(encoded(photo(side, side), kind, **exif))
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, min(len(content), 400), damage):
        content[place] = rng.integers(0, 256)
    outcome: object
    try:
        outcome = resize_square(bytes(content), 16, max_pixels=1_000_000).pixels_SS3.shape
    except ImageError as error:
        outcome = error.kind
    assert outcome in ((16, 16, 3), "not_an_image", "truncated", "damaged", "too_large", "unsupported")


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_is_exact_and_can_be_chosen(kind: str) -> None:
    content = encoded(photo(40, 30), kind)
    assert resize_square(content, 16, max_pixels=1200).width == 40
    assert kind_of(content, max_pixels=1199) == "too_large"


def test_a_frame_larger_than_the_screen_of_a_gif_counts() -> None:
    content = bytearray(encoded(Image.new("P", (10, 10)), "GIF"))
    place = content.index(b"\x2c\0\0\0\0\x0a\0\x0a\0")
    content[place + 5 : place + 9] = b"\xff\xff\xff\xff"
    assert kind_of(bytes(content)) == "too_large"


def test_a_tile_larger_than_its_tiff_counts() -> None:
    data = zlib.compress(bytes(100))
    size = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1}
    content = tiff({**size, 322: 30_000, 323: 30_000, 324: 0, 325: len(data)}, data)
    assert kind_of(content) == "too_large"


def test_a_tiff_of_many_pages_costs_one() -> None:
    pages = [Image.new("1", (100, 100), 1)] * 300
    content = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert decode(content).min() == 255


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory")
@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "JPEG", "AVIF"])
def test_a_bomb_is_refused_from_its_header(kind: str) -> None:
    # a file of a real format that would fill hundreds of megabytes, and a limit that it is over
    side = 6000
    options = {"compression": "tiff_deflate"} if kind == "TIFF" else {"speed": 10} if kind == "AVIF" else {}
    mode = "L" if kind in ("PNG", "GIF", "TIFF", "JPEG") else "RGB"
    content = encoded(Image.new(mode, (side, side)), kind, **options)
    code = f"""
import sys
from pathlib import Path
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging.resizing import resize_square
from PIL import Image
Image.init()
content = sys.stdin.buffer.read()
def peak():
    # not ru_maxrss, which begins with that of the parent process
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
try:
    resize_square(content, 224, max_pixels={side * side - 1})
except ImageError as error:
    print(error.kind, (peak() - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, check=True)
    kind_found, megabytes = done.stdout.split()
    assert kind_found == b"too_large"
    assert int(megabytes) < 10


def test_no_memory_left_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    content = encoded(photo(), "PNG")
    monkeypatch.setattr(Image.Image, "resize", fail)
    assert kind_of(content) == "too_large"


@pytest.mark.parametrize("size", [(32, 32), (400, 400)])
def test_a_picture_that_pillow_warns_about_is_decoded(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], capfd: pytest.CaptureFixture[str]
) -> None:
    # as many pixels as Pillow warns about, below those that it refuses
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", size[0] * size[1] * 2 // 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(encoded(photo(*size), "JPEG")).shape == (16, 16, 3)
    assert capfd.readouterr() == ("", "")


def test_decoding_in_threads_leaves_the_filters_of_warnings_alone() -> None:
    content = encoded(photo(), "JPEG")
    decode(content)
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode(content) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="ours"):
        warnings.warn("ours", stacklevel=1)
