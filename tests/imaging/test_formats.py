"""Content, never a name, decides what a file is; a known format that is not read is called by its name."""

import io
import struct

import pytest
from models.pictures import decode, encoded, photo
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
