"""A picture whose rows are all there is read, whatever its file lacks; one that lacks rows says how many are there."""

import re
import struct
import zlib

import numpy as np
import pytest
from models.pictures import decode, encoded, photo, png, png_chunk, scene
from PIL import Image

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging.resizing import resize_square, thumbnail

TOP_DOWN = {"GIF": {"interlace": False}}
ROWS = ["JPEG", "PNG", "GIF", "TIFF", "BMP", "PPM"]


def failure(content: bytes, accept_truncated: bool = False) -> str:
    with pytest.raises(ImageError) as caught:
        resize_square(content, 16, accept_truncated=accept_truncated)
    assert caught.value.kind == "truncated"
    return str(caught.value)


@pytest.mark.parametrize("size", [(160, 120), (801, 601)])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}])
def test_a_jpeg_without_its_end_is_read(size: tuple[int, int], mode: str, options: dict[str, object]) -> None:
    content = encoded(scene(*size).convert(mode), "JPEG", **options)
    pixels = decode(content)
    for end in (content[:-1], content[:-2], content[:-2] + bytes(500), content[:-1] + bytes(3), content + bytes(9)):
        assert (decode(end) == pixels).all()


@pytest.mark.parametrize("kind", [*ROWS, "WEBP", "JPEG2000", "AVIF"])
def test_what_is_accepted_is_whole(kind: str) -> None:
    content = encoded(scene(100, 70), kind)
    pixels, accepted, kinds = decode(content, 64), 0, set()
    for cut in (*range(1, 60), *range(60, len(content) // 2, 29)):
        try:
            assert (decode(content[:-cut], 64) == pixels).all()
            accepted += 1
        except ImageError as error:
            kinds.add(error.kind)
    assert kinds == {"truncated"}
    # the end of a JPEG, of a PNG, the trailer of a GIF; TIFF's tags may lie behind the pixels
    assert accepted >= {"JPEG": 2, "PNG": 12, "GIF": 2, "JPEG2000": 2}.get(kind, 0)


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("size", [(160, 120), (801, 601)])
def test_a_picture_that_lacks_rows_says_how_many_are_there(kind: str, size: tuple[int, int]) -> None:
    content = encoded(scene(*size), kind, **TOP_DOWN.get(kind, {}))
    said = failure(content[: len(content) * 3 // 5])
    assert re.fullmatch(r"truncated: \d+ % of the rows are there; --accept-truncated takes it", said)
    assert 35 <= int(said.split()[1]) <= 65
    assert failure(content[:-60]).startswith("truncated: 9")


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("size", [(160, 120), (801, 601)])
def test_a_part_is_taken_where_it_is_accepted(kind: str, size: tuple[int, int]) -> None:
    content = encoded(scene(*size), kind, **TOP_DOWN.get(kind, {}))
    pixels, cut = decode(content), content[: len(content) * 3 // 5]
    decoded = resize_square(cut, 16, accept_truncated=True)
    assert (decoded.width, decoded.height) == size
    there = slice(9, 16) if kind == "BMP" else slice(0, 7)
    assert abs(decoded.pixels_SS3[there].astype(int) - pixels[there]).max() <= 3
    assert thumbnail(cut, 64).width == 64


def test_a_part_without_rows_is_never_taken() -> None:
    content = encoded(photo(64, 64), "JPEG")
    assert (
        failure(content[: content.index(b"\xff\xda") + 20], accept_truncated=True)
        == "truncated: 0 % of the rows are there"
    )


def test_a_progressive_jpeg_that_lacks_passes_is_coarse() -> None:
    image = scene(160, 120)
    content = encoded(image, "JPEG", progressive=True)
    scans = [place for place in range(len(content)) if content[place : place + 2] == b"\xff\xda"]
    assert len(scans) == 10
    # also where it ends exactly behind a pass
    for number, cut in ((3, scans[3]), (4, (scans[3] + scans[4]) // 2), (9, scans[9])):
        said = failure(content[:cut])
        assert said == f"truncated in pass {number} over the picture; --accept-truncated takes it"
    coarse = resize_square(content[: scans[3] + 500], 16, accept_truncated=True).pixels_SS3
    assert abs(coarse.astype(int) - decode(content)).mean() < 8


def chunk_of(content: bytes, kind: bytes) -> slice:
    place = content.index(kind) - 4
    return slice(place, place + 12 + int.from_bytes(content[place : place + 4], "big"))


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"abCd"])
def test_a_png_with_a_damaged_note_is_read(kind: bytes) -> None:
    plain = encoded(photo())
    note = bytearray(png_chunk(kind, b"name\0\0" + zlib.compress(b"text")))
    note[-1] ^= 1
    assert (decode(plain[:33] + bytes(note) + plain[33:]) == decode(plain)).all()
    assert (decode(plain[:-12] + bytes(note) + plain[-12:]) == decode(plain)).all()


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
@pytest.mark.parametrize("length", [1_600_000, 2_000_000, 50_000_000])
def test_long_notes_and_bombs_in_a_png_do_not_matter(kind: bytes, length: int) -> None:
    note = zlib.compress(bytes(length), 9)
    body = b"name\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + note
    plain = encoded(photo())
    assert (decode(plain[:33] + png_chunk(kind, body) + plain[33:]) == decode(plain)).all()
    many = png_chunk(kind, body) * (1 if kind == b"iCCP" else 40)
    assert (decode(plain[:33] + many + plain[33:]) == decode(plain)).all()


def test_a_png_with_two_megabytes_of_text_is_read() -> None:
    plain = encoded(photo())
    assert (decode(plain[:33] + png_chunk(b"tEXt", b"a\0" + b"x" * 2_000_000) + plain[33:]) == decode(plain)).all()


def test_a_png_whose_pixels_are_damaged_is_damaged() -> None:
    content = bytearray(encoded(scene(200, 200)))
    place = chunk_of(content, b"IDAT")
    content[(place.start + place.stop) // 2] ^= 255
    with pytest.raises(ImageError) as caught:
        decode(bytes(content))
    assert caught.value.kind in ("damaged", "truncated")


def test_a_gif_whose_frame_is_smaller_than_its_screen_and_an_interlaced_one() -> None:
    content = bytearray(encoded(scene(100, 70).convert("P"), "GIF", interlace=False))
    content[6:10] = struct.pack("<HH", 120, 90)
    assert (decode(bytes(content[:-2])) == decode(bytes(content))).all()
    assert failure(bytes(content[:-200])).startswith("truncated: 9")
    interlaced = encoded(scene(100, 70), "GIF")
    # every second row is in the last pass
    assert failure(interlaced[: len(interlaced) * 3 // 5]).startswith("truncated: 4")


def test_an_interlaced_png() -> None:
    # Pillow writes none: its seven passes, each a picture of its own
    pixels = np.asarray(scene(64, 48))
    lines = b""
    for x, y, right, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        lines += b"".join(b"\0" + line.tobytes() for line in pixels[y::down, x::right])
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 1))
    data = zlib.compress(lines)
    content = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", data)
    assert (decode(content) == decode(encoded(Image.fromarray(pixels)))).all()
    half = content[: len(content) * 3 // 5]
    # every second row is in the last pass
    assert failure(half).startswith("truncated: 5")


def test_a_webp_whose_notes_are_cut_off_is_read() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a long description " * 20
    content = encoded(photo(), "WEBP", exif=exif.tobytes())
    assert (decode(content[:-100]) == decode(content)).all()
    assert failure(content[: len(content) // 2]).startswith("WebP that is cut off")


def test_deep_png_lacks_rows() -> None:
    values = np.random.default_rng(1).integers(0, 65536, (64, 64, 1), dtype=np.uint16)
    content = png(values, 0)
    assert failure(content[: len(content) // 2]).startswith("truncated: 4")
