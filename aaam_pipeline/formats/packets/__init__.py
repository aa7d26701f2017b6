"""Notes in picture files, without opening the picture: XMP packets and IPTC records in JPEG, PNG, WebP and TIFF.

XMP is read in HEIC, AVIF and CR3, too; their packets are never replaced. Reading takes the beginning of a file,
and of other formats than JPEG the places where notes lie. Replacing a packet is a list of `Splice`s: all other bytes of
a file stay what they are.
"""

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from aaam_pipeline.formats.packets import heif, jpeg, png, tiff, webp
from aaam_pipeline.formats.packets.source import (
    Bytes,
    FileContent,
    PacketError,
    Segment,
    Splice,
    inverse,
    pieces,
    spliced,
)

__all__ = [
    "Bytes",
    "EmbeddedNotes",
    "FileContent",
    "PacketError",
    "Segment",
    "Splice",
    "inverse",
    "pieces",
    "read",
    "read_file",
    "replaced",
    "segments",
    "spliced",
]
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# a packet that names where a signature of C2PA lies
PROVENANCE = b"dcterms:provenance"


class EmbeddedNotes(NamedTuple):
    """What a file holds: its XMP packet, that which extends it, and its IPTC records; None: it has none."""

    xmp: bytes | None = None
    extension: bytes | None = None
    iptc: bytes | None = None


def _module(content: Bytes) -> ModuleType:
    head = content[:12]
    if head.startswith(jpeg.SIGNATURE):
        return jpeg
    if head.startswith(png.SIGNATURE):
        return png
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return webp
    if head[:4] in TIFFS:
        return tiff
    if heif.is_heif(head):
        return heif
    raise PacketError("unsupported", "no JPEG, PNG, WebP or TIFF")


def read(content: Bytes) -> EmbeddedNotes:
    """Return the notes in a file's bytes.

    Raises:
        PacketError: it is of another format, or damaged.
    """
    module = _module(content)
    xmp, extension = module.read_xmp(content)
    return EmbeddedNotes(xmp, extension, module.read_iptc(content))


def read_file(path: Path | str) -> EmbeddedNotes:
    """Return the notes in a file; of most files 64 KB are read.

    Raises:
        PacketError: it is of another format, or damaged.
        OSError: it cannot be read.
    """
    with Path(path).open("rb", buffering=0) as stream:
        return read(FileContent(stream))


def segments(content: Bytes) -> list[Segment]:
    """Return the parts of a file: all of them, one after the other, are the file.

    Raises:
        PacketError: it is of another format, or damaged.
    """
    found: Iterable[Segment] = _module(content).segments(content)
    return list(found)


def replaced(content: Bytes, xmp: bytes, force: Iterable[str] = ()) -> list[Splice]:
    """Return what puts a packet in the place of a file's, or into one that has none.

    `force`: kinds of files (`signed`, `trailing`) that are changed nevertheless.

    Raises:
        PacketError: it is of another format, damaged, or would be harmed.
    """
    module, forced = _module(content), set(force)
    if "signed" not in forced:
        notes = module.read_xmp(content)[0]
        if PROVENANCE in (notes or b"") or any(segment.kind == "signature" for segment in module.segments(content)):
            raise PacketError("signed", "it is signed (C2PA), and any change would break the signature")
    splices: list[Splice] = module.replaced(content, xmp, "trailing" in forced)
    return splices
