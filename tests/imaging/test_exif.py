"""When a photograph was taken, by every kind of file that can tell it; what is no date is none and harms nothing."""

import io
import struct
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imaging.heic_files import heic
from models.pictures import decode, encoded, entry, note, noted, photo, png, png_chunk, scene, with_exif, with_note
from PIL import Image
from PIL.ExifTags import Base

from aaam_pipeline.imaging.exif import CapturedAt
from aaam_pipeline.imaging.resizing import resize_square

ORIGINAL, DIGITIZED, EDITED = Base.DateTimeOriginal, Base.DateTimeDigitized, Base.DateTime
TEXT = "2024:05:01 12:30:05"
TIME = datetime(2024, 5, 1, 12, 30, 5)
PICTURE = encoded(photo(), "JPEG")
PIXELS = decode(PICTURE)
# as a camera writes: numbers of all kinds, a maker's own notes, several texts
CAMERA = {
    0x829A: 0.005, 0x829D: 2.8, 0x8827: 400, 0x9000: b"0231", ORIGINAL: TEXT, DIGITIZED: TEXT,
    Base.OffsetTimeOriginal: "+09:00", 0x927C: bytes(range(256)) * 20, 0x9286: b"ASCII\0\0\0hello", 0xA002: 640,
    0xA432: (24.0, 105.0, 0.0, 0.0), 0xA434: "RF24-105",
}  # fmt: skip


def captured_at(content: bytes) -> CapturedAt | None:
    return resize_square(content, 16).captured_at


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("scale", [1, 20])
def test_every_kind_of_file_tells_it(kind: str, orientation: int, scale: int) -> None:
    image = scene(40 * scale, 30 * scale)
    more = {"save_all": True, "append_images": [image]} if kind == "MPO" else {}
    decoded = resize_square(encoded(image, kind, exif=noted(CAMERA, orientation=orientation), **more), 16)
    assert decoded.captured_at == (TIME, 540)
    assert (decoded.width < decoded.height) == (orientation == 6)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_heic_file_tells_it(orientation: int) -> None:
    decoded = resize_square(heic(f"camera {orientation}"), 16)
    assert decoded.captured_at == (TIME, 540)
    assert (decoded.width < decoded.height) == (orientation == 6)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits", "zstd"])
@pytest.mark.parametrize("pages", [1, 2])
def test_compressed_tiffs_tell_it(compression: str | None, pages: int) -> None:
    more = {"save_all": True, "append_images": [photo()]} if pages == 2 else {}
    plain_file = encoded(photo(), "TIFF", compression=compression, exif=noted({}, orientation=6), **more)
    decoded = resize_square(with_note(plain_file, ORIGINAL, TEXT.encode() + b"\0"), 16)
    assert decoded.captured_at == (TIME, None)
    assert (decoded.width, decoded.height) == (30, 40)


def test_a_big_tiff_tells_it() -> None:
    assert captured_at(encoded(photo(), "TIFF", big_tiff=True, exif=noted(CAMERA))) == (TIME, 540)


def test_a_png_tells_it_behind_its_pixels_too() -> None:
    content = png(np.zeros((9, 9, 3), np.uint16), 2)
    end = len(content) - 12
    assert captured_at(content[:end] + png_chunk(b"eXIf", noted(CAMERA)[6:]) + content[end:]) == (TIME, 540)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "PPM", "JPEG2000", "JPEG", "PNG", "TIFF", "WEBP"])
def test_files_without_a_date_have_none(kind: str) -> None:
    assert captured_at(encoded(photo(), kind)) is None


@pytest.mark.parametrize(
    ("tags", "outside", "expected"),
    [
        ({ORIGINAL: TEXT, DIGITIZED: "2025:01:01 00:00:00"}, {}, (TIME, None)),
        ({DIGITIZED: TEXT}, {}, (TIME, None)),
        ({ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: TEXT}, {}, (TIME, None)),
        # that of the last edit says nothing
        ({}, {EDITED: TEXT}, None),
        ({ORIGINAL: TEXT}, {EDITED: "2025:01:01 00:00:00"}, (TIME, None)),
        # beside the camera's directory, as some programs write; what is inside counts more
        ({}, {ORIGINAL: TEXT, Base.OffsetTimeOriginal: "-03:30"}, (TIME, -210)),
        ({ORIGINAL: TEXT}, {ORIGINAL: "2025:01:01 00:00:00"}, (TIME, None)),
        ({0xA002: 640}, {DIGITIZED: TEXT}, (TIME, None)),
        # each time has an offset of its own
        ({ORIGINAL: TEXT, Base.OffsetTimeDigitized: "+02:00", Base.OffsetTime: "+02:00"}, {}, (TIME, None)),
        ({DIGITIZED: TEXT, Base.OffsetTimeDigitized: "+02:00", Base.OffsetTimeOriginal: "+05:00"}, {}, (TIME, 120)),
        ({Base.OffsetTimeOriginal: "+02:00"}, {}, None),
    ],
)
def test_which_tag_counts(
    tags: dict[int, object], outside: dict[int, object], expected: tuple[datetime, int | None] | None
) -> None:
    for order in "<>":
        assert captured_at(with_exif(PICTURE, noted(tags, outside, order=order))) == expected


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("+00:00", 0),
        ("-00:00", 0),
        ("+05:45", 345),
        ("-12:00", -720),
        ("+14:00", 840),
        ("+0200", 120),
        ("+14:01", None),
        ("-99:99", None),
        ("+02:60", None),
        ("   :  ", None),
        ("Tokyo", None),
        ("", None),
    ],
)
def test_offsets(text: str, offset: int | None) -> None:
    assert captured_at(with_exif(PICTURE, noted({ORIGINAL: TEXT, Base.OffsetTimeOriginal: text}))) == (TIME, offset)


QUICK = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@QUICK
@given(
    tag=st.sampled_from([ORIGINAL, DIGITIZED, Base.OffsetTimeOriginal]),
    kind=st.integers(0, 20) | st.integers(0, 65535),
    data=st.binary(max_size=40) | st.text(alphabet="0123456789: ", min_size=15, max_size=21).map(str.encode),
    order=st.sampled_from("<>"),
)
def test_any_bytes_of_any_type_are_a_time_or_none_and_the_picture_is_decoded(
    tag: int, kind: int, data: bytes, order: str
) -> None:
    decoded = resize_square(with_exif(PICTURE, note(tag, data, kind, order)), 16)
    np.testing.assert_array_equal(decoded.pixels_SS3, PIXELS)
    if decoded.captured_at:
        assert f"{decoded.captured_at.time:%Y}".encode() in data


@QUICK
@given(
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8),
    end=st.integers(0, 400),
)
def test_damaged_notes_never_fail_a_picture(changes: list[tuple[int, int]], end: int) -> None:
    # not the orientation: another one turns the picture
    exif = bytearray(noted({tag: value for tag, value in CAMERA.items() if tag != 0x927C}))
    for place, value in changes:
        if place < len(exif):
            exif[place] = value
    for content in (bytes(exif), bytes(exif[:end])):
        if b"\x12\x01" in content or b"\x01\x12" in content:
            continue
        np.testing.assert_array_equal(decode(with_exif(PICTURE, content)), PIXELS)


def test_a_damaged_tag_that_pillow_warns_of_leaves_the_time_readable() -> None:
    maker_out_of_bounds = struct.pack("<HHII", Base.Make, 2, 1000, 60000)
    outside = struct.pack("<IH", 8, 2) + maker_out_of_bounds + struct.pack("<HHIII", 0x8769, 4, 1, 38, 0)
    content = with_exif(PICTURE, b"Exif\0\0II*\0" + outside + entry(ORIGINAL, TEXT.encode(), 38))
    with pytest.warns(UserWarning, match="Skipping tag 271"):
        Image.open(io.BytesIO(content)).close()
    assert captured_at(content) == (TIME, None)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_texts_are_those_that_pillow_reads(order: str) -> None:
    content = with_exif(PICTURE, noted(CAMERA, order=order))
    with Image.open(io.BytesIO(content)) as image:
        theirs = image.getexif().get_ifd(0x8769)
    assert (theirs[ORIGINAL], theirs[Base.OffsetTimeOriginal]) == (TEXT, "+09:00")
    assert captured_at(content) == (TIME, 540)


def test_a_real_photograph_with_a_camera_s_notes(shared: Path) -> None:
    for file in sorted((shared / "data" / "coco128" / "train2017").glob("*.jpg"))[:8]:
        content = file.read_bytes()
        assert captured_at(content) is None
        decoded = resize_square(with_exif(content, noted(CAMERA)), 64)
        assert decoded.captured_at == (TIME, 540)
        np.testing.assert_array_equal(decoded.pixels_SS3, decode(content, 64))
