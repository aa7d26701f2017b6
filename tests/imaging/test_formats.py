"""Content, never a name, decides what a file is; a known format that is not read is called by its name."""

import io
import struct

import pytest
from models.pictures import decode, encoded, photo, tiff
from PIL import Image

from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging.formats import FORMATS, READ, SUFFIXES, identify


def box(brand: bytes, *others: bytes) -> bytes:
    """The beginning of an ISO media file."""
    body = brand + bytes(4) + b"".join(others)
    return struct.pack(">I", len(body) + 8) + b"ftyp" + body + bytes(64)


def tga(footer: bool, kind: int = 2) -> bytes:
    content = bytes((0, 0, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 16, 0, 24, 0)) + bytes(3 * 256)
    return content + bytes(8) + b"TRUEVISION-XFILE.\0" if footer else content


SAMPLES: dict[str, list[bytes]] = {
    "heif": [box(b"mif1", b"mif1", b"jpeg"), box(b"avci", b"mif1")],
    "cgbi": [encoded(photo())[:8] + b"\0\0\0\4CgBI\x50\0\x20\2\x2b\xd5\xb3\x7f" + encoded(photo())[8:]],
    "os2": [b"BA" + bytes(12) + b"BM" + bytes(40), b"IC" + bytes(12) + b"\x0c\0\0\0" + bytes(40)],
    "psd": [b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30, 40, 8, 3), b"8BPS\0\2" + bytes(20)],
    "jxl": [b"\xff\x0a" + bytes(20), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20)],
    "jxr": [b"II\xbc\x01" + bytes(20)],
    "ico": [encoded(photo(), "ICO")],
    "cur": [b"\0\0\2\0\1\0" + encoded(photo(), "ICO")[6:]],
    "icns": [encoded(photo(64, 64), "ICNS")],
    "tga": [encoded(photo(), "TGA"), encoded(photo(), "TGA", compression="tga_rle"), tga(True), tga(False),
            encoded(photo().convert("P"), "TGA"), encoded(photo().convert("L"), "TGA")],
    "svg": [b"<svg/>", b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg xmlns="http://www.w3.org/2000/svg"></svg>',
            b'\xef\xbb\xbf <!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd"><svg ></svg>'],
    "pdf": [b"%PDF-1.4\n%%EOF"],
    "eps": [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xc5\xd0\xd3\xc6" + bytes(30)],
    "xcf": [b"gimp xcf v011\0"],
    "exr": [b"\x76\x2f\x31\x01\2\0\0\0"],
    "hdr": [b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n"],
    "dds": [encoded(photo(), "DDS")],
    "qoi": [b"qoif" + struct.pack(">IIBB", 4, 4, 3, 0)],
    "pcx": [encoded(photo(), "PCX")],
    "dicom": [bytes(128) + b"DICM\2\0\0\0"],
    "fits": [b"SIMPLE  =                    T"],
    "djvu": [b"AT&TFORM\0\0\0\0DJVU"],
    "wmf": [b"\xd7\xcd\xc6\x9a" + bytes(30), b"\1\0\0\0" + bytes(36) + b" EMF"],
    "sgi": [encoded(photo(), "SGI")],
    "sun": [b"\x59\xa6\x6a\x95" + bytes(28)],
    "flif": [b"FLIF3" + bytes(20)],
    "bpg": [b"BPG\xfb" + bytes(20)],
    "farbfeld": [b"farbfeld" + bytes(8)],
    "mng": [b"\x8aMNG\r\n\x1a\n" + bytes(20), b"\x8bJNG\r\n\x1a\n" + bytes(20)],
    "pam": [b"P7\nWIDTH 4\nHEIGHT 4\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + bytes(64)],
    "pfm": [b"PF\n4 4\n-1.0\n" + bytes(192)],
    "xpm": [b'/* XPM */\nstatic char *a[] = {"1 1 1 1"};'],
    "mp4": [box(b"isom", b"isom", b"avc1"), box(b"mp42"), box(b"M4V "), box(b"3gp4")],
    "mov": [box(b"qt  ", b"qt  "), b"\0\0\0\x08wide\0\0\1\0mdat", b"\0\0\1\0moov\0\0\0\x6cmvhd"],
    "avi": [b"RIFF\0\1\0\0AVI LIST"],
    "mkv": [b"\x1a\x45\xdf\xa3" + bytes(20)],
    "wmv": [b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(20)],
    "flv": [b"FLV\1\5" + bytes(20)],
    "mpeg": [b"\0\0\1\xba" + bytes(20), (b"\x47" + bytes(187)) * 3],
    "cr2": [b"II*\0\x10\0\0\0CR\2\0" + bytes(20)],
    "cr3": [box(b"crx ", b"crx ", b"isom")],
    "crw": [b"II\x1a\0\0\0HEAPCCDR" + bytes(20)],
    "raf": [b"FUJIFILMCCD-RAW 0201FF383501" + bytes(20)],
    "rw2": [b"IIU\0\x08\0\0\0" + bytes(20)],
    "orf": [b"IIRO\x08\0\0\0" + bytes(20), b"IIRS\x08\0\0\0" + bytes(20), b"MMOR\0\0\0\x08" + bytes(20)],
    "x3f": [b"FOVb" + bytes(30)],
    "mrw": [b"\0MRM" + bytes(30)],
    "iiq": [b"II*\0\x08\0\0\0IIII" + bytes(20)],
}  # fmt: skip
# told from pictures by their tags: see test_raw_files.py
BY_TAGS = {"dng", "raw"}


@pytest.mark.parametrize("key", SAMPLES)
def test_a_known_format_that_is_not_read_is_unsupported_by_its_name(key: str) -> None:
    for content in SAMPLES[key]:
        with pytest.raises(ImageError) as caught:
            decode(content)
        assert (caught.value.kind, str(caught.value)) == ("unsupported", f"{FORMATS[key].name} is not supported")


def bmp(header: int = 40, bits: int = 24, compression: int = 0, masks: bytes = b"") -> bytes:
    """A BMP of 16 x 16 pixels, all of them black."""
    body = struct.pack("<iiHHIIiiII", 16, 16, 1, bits, compression, 0, 0, 0, 0, 0)[: header - 4].ljust(
        header - 4, b"\0"
    )
    if header >= 52 and masks:
        body = body[:36] + masks + body[36 + len(masks) :]
    if header == 12:
        body = struct.pack("<HHHH", 16, 16, 1, bits)
    pixels = bytes(16 * 16 * 4)
    start = 14 + header + (len(masks) if header < 52 else 0)
    content = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + struct.pack("<I", header) + body
    return content + (masks if header < 52 else b"") + pixels


def jpeg_header(mark: int, bits: int, channels: int) -> bytes:
    frame = struct.pack(">BHHB", bits, 16, 16, channels) + b"".join(
        bytes((number, 0x11, 0)) for number in range(channels)
    )
    tables = encoded(photo(), "JPEG")[2:20] + b"\xff\xdb\0\x43\0" + bytes([1]) * 64
    scan = bytes((channels, *(byte for number in range(channels) for byte in (number, 0)), 0, 63, 0))
    parts = [(mark, frame), (0xDA, scan)]
    return (
        b"\xff\xd8"
        + tables
        + b"".join(bytes((0xFF, kind)) + struct.pack(">H", len(body) + 2) + body for kind, body in parts)
        + bytes(60)
        + b"\xff\xd9"
    )


GREY = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 16, 279: 4096}
UNREAD: dict[str, bytes] = {
    "BMP of this kind .*header type .16": bmp(header=16),
    "BMP of this kind .*pixel depth .2": bmp(bits=2),
    "BMP of this kind .*pixel depth .64": bmp(bits=64),
    "BMP of this kind .*compression .4": bmp(compression=4),
    "BMP of this kind .*bitfields": bmp(bits=32, compression=3, masks=struct.pack("<3I", 7, 56, 448)),
    "JPEG of 1 x 12 bits": jpeg_header(0xC1, 12, 1),
    "JPEG of 2 x 8 bits": jpeg_header(0xC0, 8, 2),
    r"lossless .LS. JPEG of 1 x 8 bits": jpeg_header(0xF7, 8, 1),
    "lossless JPEG of 3 x 16 bits": jpeg_header(0xC3, 16, 3),
    "TIFF of floats of 32 bits, 3 a pixel": tiff(GREY | {258: (32, 32, 32), 262: 2, 277: 3, 339: 3}, bytes(4096)),
    "TIFF of floats of 16 bits, 1 a pixel": tiff(GREY | {258: 16, 339: 3}, bytes(4096)),
    "TIFF of numbers of 64 bits": tiff(GREY | {258: 64}, bytes(4096)),
    "TIFF of numbers of 8 bits.*photometric interpretation 9": tiff(GREY | {262: 9}, bytes(4096)),
    "TIFF of numbers of 8 bits.*compression 34712": tiff(GREY | {259: 34712}, bytes(4096)),
}  # fmt: skip


@pytest.mark.parametrize("reason", UNREAD)
def test_a_kind_of_a_known_format_that_is_not_read_is_not_called_damaged(reason: str) -> None:
    with pytest.raises(ImageError, match=f"^{reason}.* is not supported$") as caught:
        decode(UNREAD[reason])
    assert caught.value.kind == "unsupported"


def test_the_kinds_of_bmp_that_are_read_are_read() -> None:
    for content in (bmp(), bmp(header=12), bmp(header=64), bmp(header=124), bmp(bits=32), bmp(bits=16)):
        assert decode(content).max() == 0


def test_every_format_has_samples() -> None:
    assert SAMPLES.keys() == FORMATS.keys() - READ.keys() - BY_TAGS


def test_every_format_that_is_read_is_known_by_its_content() -> None:
    for key, kind in READ.items():
        if key == "heic":
            assert identify(box(b"heic")) is identify(box(b"mif1", b"mif1", b"heic")) is kind
            continue
        assert identify(encoded(photo(), kind.plugin)) is kind
    assert identify(box(b"mif1", b"mif1", b"avif", b"miaf")) is FORMATS["avif"]
    assert identify(encoded(photo(), "MPO", save_all=True, append_images=[photo()])) is FORMATS["jpeg"]


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16", "F"])
def test_every_kind_of_ppm(mode: str) -> None:
    assert identify(encoded(Image.new(mode, (4, 4)), "PPM")) is FORMATS["ppm"]


def test_no_suffix_stands_for_two_formats() -> None:
    suffixes = [suffix for kind in FORMATS.values() for suffix in kind.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


def test_the_suffixes_that_pillow_knows_are_in_the_table() -> None:
    Image.init()
    read = {kind.plugin for kind in READ.values()} | {"DIB", "MPO"}
    for suffix, plugin in Image.registered_extensions().items():
        assert (suffix in SUFFIXES) == (plugin in read), suffix


@pytest.mark.parametrize(
    "content",
    [b"", b"text", b"BM", b"P4 paper", b"PF", b"<html>", b"\xff\xd8", bytes(5000), b"\0\0\0\x18ftyp",
     b"RIFF\0\0\0\0WAVEfmt ", b"PK\3\4", b"\x1f\x8b\x08", b"ID3\3", b"II", b"II*\0"[:3], bytes(range(256)) * 20],
)  # fmt: skip
def test_other_content_is_no_image(content: bytes) -> None:
    assert identify(content) is None


def test_it_is_quick_where_the_content_is_long() -> None:
    # the beginning decides, not a search of the whole
    stream = io.BytesIO(b"<?xml?>" + b"<!--" + b" <" * 5_000_000)
    assert identify(stream.getvalue()) is None
