"""The table of image formats: their names, usual suffixes, and first bytes; also of those that are known, but not read.

People sort and delete files by what is wrong with them, so a file of a known format is never called no image: content,
never a name, decides.
"""

import re
from typing import NamedTuple

# so far into a file looks what finds a format that has no bytes of its own at the beginning
BEGINNING = 4096
TGA_FOOTER = b"TRUEVISION-XFILE.\0"
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1", b"miaf", b"avci", b"avcs", b"jpeg", b"jpgs", b"vvic", b"evbi"})


class ImageFormat(NamedTuple):
    """A kind of file.

    Attributes:
        name: as people call it.
        suffixes: usual ones, in small letters, with the dot.
        magic: a regular expression of its first bytes; None: it takes more to know it (see `identify`).
        plugin: what Pillow calls it; "": it is known, but not read.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: bytes | None = None
    plugin: str = ""


# MPO, a JPEG of several pictures, comes with JPEG. Others of Pillow's formats are slow or unsafe: EPS runs Ghostscript
FORMATS: dict[str, ImageFormat] = {
    "jpeg": ImageFormat(
        "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo"), rb"\xff\xd8\xff", "JPEG"
    ),
    "png": ImageFormat("PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n(?!.{4}CgBI)", "PNG"),
    "webp": ImageFormat("WebP", (".webp",), rb"RIFF.{4}WEBP", "WEBP"),
    "gif": ImageFormat("GIF", (".gif",), rb"GIF8[79]a", "GIF"),
    "tiff": ImageFormat("TIFF", (".tif", ".tiff", ".btf", ".tf8"), rb"(?:II|MM)(?:[*+]\0|\0[*+])", "TIFF"),
    # the two letters alone begin many a text: the size of the header must be one that there is
    "bmp": ImageFormat("BMP", (".bmp", ".dib"), rb"BM.{12}[\x0c\x10-\x40\x6c\x7c]\0\0\0", "BMP"),
    "jpeg2000": ImageFormat(
        "JPEG 2000",
        (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
        "JPEG2000",
    ),
    "ppm": ImageFormat(
        "PPM",
        (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
        rb"P[1-6]\s(?:\s|#[^\n]*\n)*\d|Pf\s\s*\d+\s+\d+\s+[-+]?\d",
        "PPM",
    ),
    "avif": ImageFormat("AVIF", (".avif", ".avifs"), None, "AVIF"),
    "heic": ImageFormat("HEIC", (".heic", ".heif", ".hif", ".heics", ".heifs"), None, "HEIF"),
    # from here on: known, but not read
    "heif": ImageFormat("HEIF with pictures that are no HEVC", ()),
    "cgbi": ImageFormat("PNG for Apple's programs (CgBI)", (), rb"\x89PNG\r\n\x1a\n.{4}CgBI"),
    "os2": ImageFormat("OS/2 bitmaps", (), rb"(?:BA|CI|CP|IC|PT).{12}(?:B[AM]|C[IP]|IC|PT|[\x0c\x10-\x40]\0\0\0)"),
    "psd": ImageFormat("Photoshop (PSD)", (".psd", ".psb"), rb"8BPS\0[\x01\x02]"),
    "jxl": ImageFormat("JPEG XL", (".jxl",), rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
    "jxr": ImageFormat("JPEG XR", (".jxr", ".wdp", ".hdp"), rb"II\xbc[\0\x01]"),
    "ico": ImageFormat("ICO (an icon)", (".ico",), rb"\0\0\x01\0[^\0]\0.{3}[\0\xff].{8}"),
    "cur": ImageFormat("CUR (a cursor)", (".cur",), rb"\0\0\x02\0[^\0]\0.{3}[\0\xff].{8}"),
    "icns": ImageFormat("ICNS (icons)", (".icns",), rb"icns.{4}[\w ]{4}"),
    "tga": ImageFormat("TGA", (".tga", ".icb", ".vda", ".vst")),
    "svg": ImageFormat("SVG (a drawing)", (".svg",)),
    "pdf": ImageFormat("PDF", (".pdf",), rb"%PDF-\d"),
    "eps": ImageFormat("PostScript", (".eps", ".ps"), rb"%!PS|\xc5\xd0\xd3\xc6"),
    "xcf": ImageFormat("GIMP (XCF)", (".xcf",), rb"gimp xcf "),
    "exr": ImageFormat("OpenEXR", (".exr",), rb"\x76\x2f\x31\x01"),
    "hdr": ImageFormat("Radiance HDR", (".hdr", ".pic"), rb"#\?(?:RADIANCE|RGBE)"),
    "dds": ImageFormat("DDS", (".dds",), rb"DDS \x7c\0\0\0"),
    "qoi": ImageFormat("QOI", (".qoi",), rb"qoif"),
    "pcx": ImageFormat("PCX", (".pcx",), rb"\x0a[\0-\x05]\x01[\x01\x02\x04\x08].{60}\0[\x01-\x04]"),
    "dicom": ImageFormat("DICOM", (".dcm",), rb".{128}DICM"),
    "fits": ImageFormat("FITS", (".fits", ".fit"), rb"SIMPLE  ="),
    "djvu": ImageFormat("DjVu", (".djvu", ".djv"), rb"AT&TFORM"),
    "wmf": ImageFormat("WMF (a drawing)", (".wmf", ".emf"), rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF"),
    "sgi": ImageFormat("SGI", (".sgi", ".rgb", ".bw"), rb"\x01\xda[\0\x01][\x01\x02]\0[\x01-\x03]"),
    "sun": ImageFormat("Sun raster", (".ras",), rb"\x59\xa6\x6a\x95"),
    "flif": ImageFormat("FLIF", (".flif",), rb"FLIF[13]"),
    "bpg": ImageFormat("BPG", (".bpg",), rb"BPG\xfb"),
    "farbfeld": ImageFormat("farbfeld", (".ff",), rb"farbfeld"),
    "mng": ImageFormat("MNG", (".mng", ".jng"), rb"\x8a?MNG\r\n\x1a\n|\x8bJNG\r\n\x1a\n"),
    "pam": ImageFormat("PAM", (".pam",), rb"P7\n(?:#[^\n]*\n)*[A-Z]+ "),
    "pfm": ImageFormat("PFM in colour", (), rb"PF\s\s*\d+\s+\d+\s+[-+]?\d"),
    "xpm": ImageFormat("XPM", (".xpm",), rb"/\* XPM \*/"),
    "mp4": ImageFormat("MP4 (a video)", (".mp4", ".m4v", ".3gp", ".3g2")),
    "mov": ImageFormat("QuickTime (a video)", (".mov", ".qt")),
    "avi": ImageFormat("AVI (a video)", (".avi",), rb"RIFF.{4}AVI "),
    "mkv": ImageFormat("Matroska (a video)", (".mkv", ".webm"), rb"\x1a\x45\xdf\xa3"),
    "wmv": ImageFormat("Windows Media (a video)", (".wmv", ".asf"), rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    "flv": ImageFormat("Flash video", (".flv",), rb"FLV\x01"),
    "mpeg": ImageFormat("MPEG (a video)", (".mpg", ".mpeg", ".mts", ".m2ts"), rb"\0\0\x01[\xba\xb3]|\x47.{187}\x47"),
    "cr2": ImageFormat("a raw file (Canon CR2)", (".cr2",), rb"(?:II\*\0|MM\0\*).{4}CR\x02"),
    "cr3": ImageFormat("a raw file (Canon CR3)", (".cr3",), rb".{4}ftypcrx "),
    "crw": ImageFormat("a raw file (Canon CRW)", (".crw",), rb"(?:II|MM).{4}HEAPCCDR"),
    "raf": ImageFormat("a raw file (Fujifilm RAF)", (".raf",), rb"FUJIFILMCCD-RAW"),
    "rw2": ImageFormat("a raw file (Panasonic RW2)", (".rw2", ".rwl", ".raw"), rb"IIU\0"),
    "orf": ImageFormat("a raw file (Olympus ORF)", (".orf", ".ori"), rb"IIRO|IIRS|MMOR"),
    "x3f": ImageFormat("a raw file (Sigma X3F)", (".x3f",), rb"FOVb"),
    "mrw": ImageFormat("a raw file (Minolta MRW)", (".mrw",), rb"\0MRM"),
    "iiq": ImageFormat("a raw file (Phase One IIQ)", (".iiq",), rb"(?:II\*\0|MM\0\*).{4}(?:IIII|MMMM)"),
    # TIFFs, which their tags tell from pictures
    "dng": ImageFormat("a raw file (DNG)", (".dng", ".gpr")),
    "raw": ImageFormat(
        "a raw file", (".nef", ".nrw", ".arw", ".sr2", ".srf", ".pef", ".srw", ".3fr", ".fff", ".dcr", ".kdc", ".erf",
                       ".mef", ".mos")
    ),
}  # fmt: skip
READ = {key: kind for key, kind in FORMATS.items() if kind.plugin}
# of the files in a folder that are taken
SUFFIXES = frozenset(suffix for kind in READ.values() for suffix in kind.suffixes)
# formats that are not read come first: some are special kinds of TIFF
_MAGICS = sorted(
    ((kind, re.compile(kind.magic, re.DOTALL)) for kind in FORMATS.values() if kind.magic is not None),
    key=lambda pair: pair[0].plugin,
)
_COMMON = [(kind, pattern) for kind, pattern in _MAGICS if kind.plugin in ("JPEG", "PNG", "WEBP", "GIF")]
_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*|<!DOCTYPE\s+svg[^>]*>\s*)*<(?:svg:)?svg\b", re.S
)
_MOVIE_BOXES = frozenset({b"moov", b"mdat", b"wide", b"pnot", b"free", b"skip"})


def identify(content: bytes) -> ImageFormat | None:
    """Return the format of a file's bytes; None: none that is known."""
    for kind, pattern in (*_COMMON, *_MAGICS):
        if pattern.match(content):
            return kind
    if content[4:8] == b"ftyp":
        return _by_brands(content)
    if content[4:8] in _MOVIE_BOXES and content[:2] == b"\0\0":
        return FORMATS["mov"]
    if _SVG.match(content[:BEGINNING]):
        return FORMATS["svg"]
    return FORMATS["tga"] if _is_tga(content) else None


def _by_brands(content: bytes) -> ImageFormat | None:
    """Return the format of an ISO media file by the brands in its first box: AVIF, HEIC and videos are such files."""
    major = content[8:12]
    if len(major) < 4:
        return None
    end = min(int.from_bytes(content[:4], "big"), 512)
    brands = {major, *(content[start : start + 4] for start in range(16, end, 4))}
    for key, known in (("avif", AVIF_BRANDS), ("heic", HEIC_BRANDS), ("heif", HEIF_BRANDS)):
        if major in known and key != "heif":
            return FORMATS[key]
    for key, known in (("heic", HEIC_BRANDS), ("avif", AVIF_BRANDS), ("heif", HEIF_BRANDS)):
        if not known.isdisjoint(brands):
            return FORMATS[key]
    return FORMATS["mov" if major == b"qt  " else "mp4"]


def _is_tga(content: bytes) -> bool:
    """Return whether it is TGA: by the mark at its end, or of an old one by a header that is possible."""
    if content[-len(TGA_FOOTER) :] == TGA_FOOTER:
        return True
    if len(content) < 19:
        return False
    comment, has_palette, kind = content[:3]
    first, colours, depth = int.from_bytes(content[3:5], "little"), int.from_bytes(content[5:7], "little"), content[7]
    width, height = int.from_bytes(content[12:14], "little"), int.from_bytes(content[14:16], "little")
    bits, flags = content[16:18]
    if has_palette > 1 or kind not in (1, 2, 3, 9, 10, 11) or bits not in (8, 15, 16, 24, 32) or flags & 0xC0:
        return False
    if not width or not height or (kind % 8 == 1) != bool(has_palette) or (kind % 8 == 3 and bits != 8):
        return False
    if has_palette == 0 and (first or colours or depth):
        return False
    palette = colours * ((depth + 7) // 8) if has_palette else 0
    body = len(content) - 18 - comment - palette
    return body >= width * height * ((bits + 7) // 8) if kind < 8 else body > 0
