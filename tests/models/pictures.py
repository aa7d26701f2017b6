"""Encoded pictures for the tests of decoding, also of kinds that Pillow reads but does not write."""

import io
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging import MAX_PIXELS
from aaam_pipeline.imaging.resizing import resize_square

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decode(content: bytes, size: int = 16) -> np.ndarray:
    return resize_square(content, size).pixels_SS3


def kind_of(content: bytes, max_pixels: int = MAX_PIXELS) -> str:
    with pytest.raises(ImageError) as caught:
        resize_square(content, 16, max_pixels)
    assert str(caught.value)
    return caught.value.kind


def plain(content: bytes, size: int) -> np.ndarray:
    """Decode at full size, the way that small pictures must go bit for bit."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def photo(width: int = 40, height: int = 30, seed: int = 1) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def scene(width: int, height: int) -> Image.Image:
    """A picture with large shapes and fine texture, no two corners alike."""
    blocks = photo(7, 5, seed=3).resize((width, height), Image.Resampling.BICUBIC)
    return Image.blend(blocks, photo(width, height), 0.15)


def turned(orientation: int) -> bytes:
    """EXIF that tells how the camera was held. Fresh each time, for some of Pillow's writers change what they get."""
    return noted({}, orientation=orientation)


def noted(
    tags: dict[int, object],
    outside: dict[int, object] | None = None,
    orientation: int | None = None,
    order: str = ">",
) -> bytes:
    """EXIF with `tags` in the camera's own directory, and others outside it."""
    exif = Image.Exif()
    exif.endian = order
    for tag, value in (outside or {}).items():
        exif[tag] = value
    if orientation is not None:
        exif[0x0112] = orientation
    if tags:
        exif.get_ifd(0x8769).update(tags)
    return exif.tobytes()


def with_exif(content: bytes, exif: bytes) -> bytes:
    """Put EXIF into a JPEG without touching the coded picture."""
    return content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + content[2:]


def note(tag: int, data: bytes, kind: int = 2, order: str = "<") -> bytes:
    """EXIF whose camera's directory holds one entry, of any type and bytes; ASCII by default."""
    directory = entry(tag, data, 26, kind, order)
    head = b"II*\0" if order == "<" else b"MM\0*"
    outside = struct.pack(order + "IHHHIII", 8, 1, 0x8769, 4, 1, 26, 0)
    return b"Exif\0\0" + head + outside + directory


def entry(tag: int, data: bytes, place: int, kind: int = 2, order: str = "<") -> bytes:
    """A directory of one entry that will lie at `place`; units of `kind` that are cut off do not count."""
    count = len(data) // {3: 2, 4: 4, 5: 8, 9: 4, 10: 8, 11: 4, 12: 8}.get(kind, 1)
    value = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", place + 18)
    return struct.pack(order + "HHHI4sI", 1, tag, kind, count, value, 0) + (data if len(data) > 4 else b"")


def with_note(content: bytes, tag: int, data: bytes) -> bytes:
    """Give a little-endian TIFF a camera's directory, also a compressed one, for which Pillow cannot."""
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    end = first + 2 + 12 * count
    entries = [content[place : place + 12] for place in range(first + 2, end, 12)]
    camera = len(content) + len(content) % 2
    entries.append(struct.pack("<HHII", 0x8769, 4, 1, camera))
    directory = entry(tag, data, camera)
    moved = struct.pack("<H", count + 1) + b"".join(sorted(entries, key=lambda each: each[1::-1])) + content[end:][:4]
    changed = content[:4] + struct.pack("<I", camera + len(directory)) + content[8:]
    return changed.ljust(camera, b"\0") + directory + moved


def png(pixels: np.ndarray, colour: int, *extra: bytes) -> bytes:
    """Write 16 bits a channel (Pillow cannot): (H, W, C) with colour type 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    parts = [png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", zlib.compress(lines)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff(tags: Mapping[int, float | tuple[int, ...]], data: bytes, order: str = "<") -> bytes:
    """Write an uncompressed TIFF whose only strip or tile is `data`; its offset is filled in for tag 273 or 324."""
    entries, more = b"", b""
    start = 8 + 2 + 12 * len(tags) + 4
    long = sum(2 * len(value) for value in tags.values() if isinstance(value, tuple))
    for tag, value in sorted(tags.items()):
        if isinstance(value, tuple):
            entries += struct.pack(order + "HHII", tag, 3, len(value), start + len(more))
            more += struct.pack(f"{order}{len(value)}H", *value)
        elif isinstance(value, float):
            entries += struct.pack(order + "HHIf", tag, 11, 1, value)
        else:
            entries += struct.pack(order + "HHII", tag, 4, 1, start + long if tag in (273, 324) else value)
    head = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    return head + entries + bytes(4) + more + data


def press_profile(paper: tuple[int, int, int], inks: dict[int, tuple[int, int, int]]) -> bytes:
    """Make an ICC profile of CMYK to Lab (8 bits: L, a + 128, b + 128): `inks` maps corners such as 0b1000 (C only)."""
    corners = b"".join(bytes(inks.get(corner, paper)) for corner in range(16))
    identity = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4 + corners + ramp * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    start = 128 + 4 + 2 * 12
    table = struct.pack(">I", 2) + struct.pack(">4sII", b"A2B0", start, len(lut))
    table += struct.pack(">4sII", b"wtpt", start + len(lut), len(white))
    body = table + lut + white
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + body


def files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]
