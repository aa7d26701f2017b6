"""XMP packets in HEIC, AVIF and CR3: read as Pillow writes them, and in the other ways that items have places."""

import io
import struct
from pathlib import Path
from random import Random

import pytest
from noted_pictures import packet, picture

from aaam_pipeline.formats import file_keywords, packets
from aaam_pipeline.formats.packets import PacketError

XMP = packet({"dc:subject": ["Anna, B", "犬"]})
UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def heif(version: int, method: int = 0, after: bytes = b"") -> bytes:
    """Return a file whose second item is the packet, in two parts, in the file or (method 1) within the list itself."""
    number = ">I" if version == 2 else ">H"
    infe = [
        box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 1, 0) + b"hvc1\0"),
        box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 2, 0) + b"mime\0application/rdf+xml\0"),
    ]
    infos = box(b"iinf", b"\0\0\0\0" + struct.pack(">H", 2) + b"".join(infe))

    def places(start: int) -> bytes:
        how = struct.pack(">H", method) if version else b""
        half = len(XMP) // 2
        first = struct.pack(number, 1) + how + struct.pack(">HIHII", 0, 0, 1, 0, 1)
        parts = struct.pack(">IIII", 0, half, half, len(XMP) - half)
        second = struct.pack(number, 2) + how + struct.pack(">HIH", 0, start, 2) + parts
        return box(b"iloc", bytes([version, 0, 0, 0, 0x44, 0x40]) + struct.pack(number, 2) + first + second)

    def whole(start: int) -> bytes:
        data = box(b"idat", XMP) if method else b""
        return box(b"ftyp", b"heic\0\0\0\0") + box(b"meta", b"\0" * 4 + infos + places(start) + data)

    head = whole(0)
    return whole(0 if method else len(head) + 8) + box(b"mdat", b"" if method else XMP) + after


@pytest.mark.parametrize(
    "content",
    [heif(0), heif(1), heif(2), heif(1, method=1), heif(0, after=b"a film")],
    ids=["0", "1", "2", "inside", "data behind"],
)
def test_the_packet_is_found_wherever_it_lies(content: bytes) -> None:
    assert packets.read(content).xmp == XMP
    with pytest.raises(PacketError, match="no JPEG"):
        packets.replaced(content, XMP)


def test_an_avif_of_pillow_and_a_raw_file_of_canon() -> None:
    stream = io.BytesIO()
    picture().save(stream, "AVIF", xmp=XMP)
    assert packets.read(stream.getvalue()).xmp == XMP
    stream = io.BytesIO()
    picture().save(stream, "AVIF")
    assert packets.read(stream.getvalue()).xmp is None
    assert packets.read(box(b"ftyp", b"crx \0\0\0\1") + box(b"moov", b"") + box(b"uuid", UUID + XMP)).xmp == XMP


def test_a_cut_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    content = heif(1)
    for size in range(60, content.index(XMP) + len(XMP), 11):
        with pytest.raises(PacketError, match="damaged"):
            packets.read(content[:size])
    photo = tmp_path / "a.heic"
    photo.write_bytes(content)
    assert [keyword.path for keyword in file_keywords.read(photo).keywords] == [("Anna, B",), ("犬",)]
    photo.write_bytes(content[:-3])
    assert "cut off" in file_keywords.read(photo).faults[0]


def test_whatever_bytes_are_wrong_nothing_else_is_raised() -> None:
    random, content = Random(1), heif(1)
    for _ in range(500):
        wrong = bytearray(content)
        for _ in range(3):
            wrong[random.randrange(8, len(content) - len(XMP))] = random.randrange(256)
        try:
            packets.read(bytes(wrong))
        except PacketError:
            continue
