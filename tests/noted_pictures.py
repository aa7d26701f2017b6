"""Small files of pictures, with everything in them that a change of the XMP packet must leave alone."""

import io
import struct
from collections.abc import Callable

from PIL import Image, ImageCms

OLD = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/><?xpacket end="w"?>'
)
LISTS = {"dc:subject": "Bag", "lr:hierarchicalSubject": "Bag", "digiKam:TagsList": "Seq"}
NAMESPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "aaam": "urn:aaam-pipe:keywords:1.0/",
}
IPTC = b"\x1c\x02\x19\x00\x04bird"
RESOURCES = b"8BIM\x04\x25\0\0\0\0\0\x03abc\0" + b"8BIM\x04\x04\x03Pho" + struct.pack(">I", len(IPTC)) + IPTC + b"\0"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def packet(fields: dict[str, list[str]], ours: dict[str, str] | None = None) -> bytes:
    """Return a packet whose fields hold keywords; `ours`: those that aaam-pipe wrote, with the names of the fields."""
    names = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    lists = "".join(
        f"<{field}><rdf:{LISTS.get(field, 'Bag')}>"
        + "".join(f"<rdf:li>{text}</rdf:li>" for text in texts)
        + f"</rdf:{LISTS.get(field, 'Bag')}></{field}>"
        for field, texts in fields.items()
    )
    entries = "".join(
        f'<rdf:li aaam:kind="keyword" aaam:value="{value}" aaam:fields="{written}"/>'
        for value, written in (ours or {}).items()
    )
    record = f"<aaam:Written><rdf:Bag>{entries}</rdf:Bag></aaam:Written>" if ours else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about=""{names}>{lists}{record}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()


def segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def picture(mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (40, 30))
    image.putdata([tuple((x * 7 + band * 31) % 256 for band in range(len(mode))) for x in range(1200)])
    return image


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    picture(mode).save(stream, kind, **options)
    return stream.getvalue()


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """Put segments behind JFIF's."""
    end = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:end] + b"".join(segments) + jpeg[end:]


def exif() -> Image.Exif:
    notes = Image.Exif()
    notes[0x010F], notes[0x9286] = "A camera", "a comment"
    notes.get_ifd(0x8769)[0x927C] = b"MAKERNOTE" + bytes(range(200))
    return notes


def resources(iptc: bytes) -> bytes:
    """Return Photoshop's resources with IPTC's records among them."""
    even = iptc + b"\0" * (len(iptc) % 2)
    return b"8BIM\x04\x25\0\0\0\0\0\x03abc\0" + b"8BIM\x04\x04\x03Pho" + struct.pack(">I", len(iptc)) + even


def jpeg(
    xmp: bytes | None = None, progressive: bool = False, after: bytes = b"", extra: bytes = b"", iptc: bytes = IPTC
) -> bytes:
    whole = saved("JPEG", exif=exif(), icc_profile=PROFILE, progressive=progressive, comment=b"a comment")
    note = b"" if xmp is None else segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)
    place = whole.index(b"\xff\xe2")
    parts = note + segment(0xED, b"Photoshop 3.0\0" + resources(iptc)) + extra
    return whole[:place] + parts + whole[place:] + after


def png(xmp: bytes | None = None, after: bytes = b"") -> bytes:
    from PIL.PngImagePlugin import PngInfo

    notes = PngInfo()
    notes.add_text("Title", "a picture")
    lines = [RESOURCES.hex()[at : at + 72] for at in range(0, 2 * len(RESOURCES), 72)]
    notes.add_text("Raw profile type iptc", "\n".join(["", "iptc", f"{len(RESOURCES):8}", *lines, ""]), zip=True)
    if xmp is not None:
        notes.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return saved("PNG", exif=exif(), icc_profile=PROFILE, pnginfo=notes) + after


def webp(xmp: bytes | None = None, after: bytes = b"") -> bytes:
    return saved("WEBP", exif=exif().tobytes(), icc_profile=PROFILE, **({} if xmp is None else {"xmp": xmp})) + after


def tiff(order: str = "<", big: bool = False, xmp: bytes | None = None, more: dict[int, bytes] | None = None) -> bytes:
    """Return a TIFF of two pages, 4 x 3 grey pixels, with IPTC records; `more`: other tags of its first page."""
    number, position = ("Q", "Q") if big else ("H", "I")
    content = bytearray(b"II" if order == "<" else b"MM")
    content += struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)
    link = 8 if big else 4
    for page in range(2):
        strip = len(content)
        content += bytes(range(page, page + 12))
        values: dict[int, bytes | int] = {256: 4, 257: 3, 258: 8, 259: 1, 262: 1, 273: strip, 277: 1, 278: 3, 279: 12}
        if page == 0:
            values |= {33723: IPTC, **(more or {}), **({} if xmp is None else {700: xmp})}
        entries = b""
        for tag, value in sorted(values.items()):
            if isinstance(value, int):
                held = struct.pack(order + "I", value).ljust(8 if big else 4, b"\0")
                entries += struct.pack(order + "HH" + position, tag, 4, 1) + held
                continue
            place = len(content) + len(content) % 2
            content += b"\0" * (len(content) % 2) + value
            entries += struct.pack(order + "HH" + position * 2, tag, 7, len(value), place)
        content += b"\0" * (len(content) % 2)
        content[link : link + struct.calcsize(position)] = struct.pack(order + position, len(content))
        content += struct.pack(order + number, len(values)) + entries
        link = len(content)
        content += struct.pack(order + position, 0)
    return bytes(content)


EVERY: dict[str, Callable[[bytes | None], bytes]] = {
    "jpeg": jpeg,
    "progressive jpeg": lambda xmp: jpeg(xmp, progressive=True),
    "png": png,
    "webp": webp,
    "tiff": lambda xmp: tiff(xmp=xmp),
    "big-endian tiff": lambda xmp: tiff(">", xmp=xmp),
    "bigtiff": lambda xmp: tiff(big=True, xmp=xmp),
    "big-endian bigtiff": lambda xmp: tiff(">", big=True, xmp=xmp),
}
