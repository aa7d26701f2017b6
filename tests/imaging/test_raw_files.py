"""A camera's raw file is told from a picture by its tags, and is not taken for the small picture it begins with."""

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from models.pictures import RED, decode, encoded, photo
from PIL import Image

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging import tiff
from aaam_pipeline.imaging.resizing import resize_square

COLOURS = [bytes(RED), b"\0\xff\0", b"\0\0\xff"]
Tags = dict[int, int | bytes]
THUMBNAIL = {254: 1, 256: 16, 257: 12, 258: 8, 259: 1, 262: 2, 277: 3, 278: 12}
WHOLE = {254: 0, 256: 64, 257: 48, 258: 8, 259: 1, 262: 2, 277: 3, 278: 48}
SENSOR = {254: 0, 256: 6000, 257: 4000, 258: 14, 262: 32803, 277: 1}


def tiff_of(chain: list[Tags], inside: Sequence[Tags] = (), order: str = "<") -> bytes:
    """Write a TIFF whose pages are `chain`, the first with the SubIFDs `inside`; RGB pictures have a colour each."""
    places = [0] * (len(chain) + len(inside) + 1)
    for _ in range(2):
        # once to learn where everything lies, once to write it
        content = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
        for number, tags in enumerate([*chain, *inside]):
            places[number] = len(content)
            following = places[number + 1] if number + 1 < len(chain) else 0
            subs = places[len(chain) : -1] if number == 0 else []
            content += directory(tags, len(content), following, subs, order, COLOURS[number % 3])
    return content


def directory(tags: Tags, place: int, following: int, subs: list[int], order: str, colour: bytes) -> bytes:
    """A page that lies at `place`, and its pixels behind it."""
    entries = tags | ({330: struct.pack(f"{order}{len(subs)}I", *subs)} if subs else {})
    pixels = b""
    if tags[262] == 2:
        pixels = colour * (int(tags[256]) * int(tags[257]))
        entries |= {258: struct.pack(order + "3H", 8, 8, 8), 273: 0, 279: len(pixels)}
    end = place + 2 + 12 * len(entries) + 4
    entries |= {273: end + sum(len(value) for value in entries.values() if isinstance(value, bytes))} if pixels else {}
    table, more = struct.pack(order + "H", len(entries)), b""
    for tag, value in sorted(entries.items()):
        if isinstance(value, int):
            table += struct.pack(order + "HHII", tag, 4, 1, value)
            continue
        kind, size = {258: (3, 2), 330: (4, 4)}.get(tag, (2, 1))
        held = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(order + "I", end + len(more))
        table += struct.pack(order + "HHI", tag, kind, len(value) // size) + held
        more += value
    return table + struct.pack(order + "I", following) + more + pixels


RAW_FILES = {
    "DNG with its small picture first": (tiff_of([THUMBNAIL | {50706: b"\1\4\0\0"}], [SENSOR]), "DNG"),
    "DNG of linear values": (tiff_of([WHOLE | {50706: b"\1\4\0\0"}]), "DNG"),
    "NEF": (
        tiff_of([THUMBNAIL | {271: b"NIKON CORPORATION\0"}], [THUMBNAIL, SENSOR | {259: 34713}]),
        "NIKON CORPORATION",
    ),
    "ARW": (tiff_of([THUMBNAIL | {271: b"SONY\0"}], [SENSOR | {259: 32767}], order=">"), "SONY"),
    "PEF": (tiff_of([SENSOR | {259: 65535, 271: b"PENTAX\0"}, THUMBNAIL]), "PENTAX"),
    "without a maker": (tiff_of([THUMBNAIL, SENSOR]), "of an unknown camera"),
}


@pytest.mark.parametrize("name", RAW_FILES)
def test_a_raw_file_is_unsupported_whatever_its_name(name: str) -> None:
    content, maker = RAW_FILES[name]
    with pytest.raises(ImageError) as caught:
        decode(content)
    assert (caught.value.kind, str(caught.value)) == ("unsupported", f"a raw file ({maker}) is not supported")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_picture_behind_its_small_copy_is_the_one_that_is_seen(order: str, inside: bool) -> None:
    content = tiff_of([THUMBNAIL], [WHOLE], order) if inside else tiff_of([THUMBNAIL, WHOLE], order=order)
    decoded = resize_square(content, 16)
    assert (decoded.width, decoded.height) == (64, 48)
    assert decoded.pixels_SS3.reshape(-1, 3).tolist() == [[0, 255, 0]] * 256


def test_a_small_copy_alone_or_behind_its_picture_changes_nothing() -> None:
    for chain, inside in (([THUMBNAIL], []), ([WHOLE, THUMBNAIL], []), ([WHOLE], [THUMBNAIL])):
        assert decode(tiff_of(chain, inside)).reshape(-1, 3).tolist() == [list(RED)] * 256


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg"])
def test_ordinary_tiffs_are_no_raw_files(big: bool, compression: str | None) -> None:
    image = Image.new("RGB", (40, 30), RED)
    content = encoded(image, "TIFF", compression=compression, big_tiff=big, save_all=True, append_images=[photo()])
    assert tiff.raw_kind(content) == ""
    assert tiff.with_whole_picture_first(content) is content
    assert len(list(tiff.pages(content))) == 2
    assert np.abs(decode(content).astype(int) - RED).max() < 4


def test_damaged_directories_end_the_search() -> None:
    whole = RAW_FILES["NEF"][0]
    rng = np.random.default_rng(1)
    for _ in range(500):
        content = bytearray(whole[: rng.integers(9, len(whole))])
        for place in rng.integers(4, len(content), 6):
            content[place] = rng.integers(256)
        tiff.raw_kind(bytes(content))
        tiff.with_whole_picture_first(bytes(content))
    circle = tiff_of([THUMBNAIL])
    end = 8 + 2 + 12 * (len(THUMBNAIL) + 2)
    assert len(list(tiff.pages(circle[:end] + struct.pack("<I", 8) + circle[end + 4 :]))) == 1
