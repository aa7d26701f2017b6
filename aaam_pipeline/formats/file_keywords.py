"""The keywords that people have given a photograph: in the file itself (XMP, IPTC) and in its sidecars.

What this program wrote is no keyword of a person, and what programs keep for themselves (`darktable|...`) is none.
One keyword is in several fields, flat and in a tree: it is one here, with the levels of the tree.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from aaam_pipeline.formats import iptc, packets, xmp
from aaam_pipeline.formats.packets import PacketError
from aaam_pipeline.formats.xmp import XmpError
from aaam_pipeline.formats.xmp.fields import PRIVATE, READ, WRITTEN, key, keys, spelling

Origin = Literal["xmp", "sidecar", "iptc"]
DIGIKAM_OWN = "_Digikam_Internal_Tags_"
# a packet without any of these has no keywords; one in UTF-16 is looked at in any case
NAMES = tuple(field.local.encode() for field in READ)
LARGEST_SIDECAR = 64 << 20


class FileKeyword(NamedTuple):
    """A keyword: its levels, the topmost first, and where it was found first."""

    path: tuple[str, ...]
    origin: Origin


class FileKeywords(NamedTuple):
    """The keywords of a photograph, and in a line each what could not be read."""

    keywords: list[FileKeyword]
    faults: list[str]


def read(photograph: Path, sidecars: Iterable[Path] = ()) -> FileKeywords:
    """Return the keywords of a photograph; of a file of another format those in its sidecars.

    Raises:
        OSError: the photograph cannot be read.
    """
    found, faults = _Found(), []
    try:
        notes = packets.read_file(photograph)
        for content in (notes.xmp, notes.extension):
            try:
                found.add_packet(content, "xmp")
            except XmpError as error:
                faults.append(f"its XMP packet {error}")
        found.iptc = iptc.keywords(notes.iptc or b"")
    except PacketError as error:
        # other formats have sidecars alone
        if error.kind != "unsupported":
            faults.append(str(error))
    for sidecar in sidecars:
        try:
            if sidecar.stat().st_size > LARGEST_SIDECAR:
                raise XmpError("is no sidecar: it is larger than 64 MB")
            found.add_packet(sidecar.read_bytes(), "sidecar")
        except XmpError as error:
            faults.append(f"{sidecar.name} {error}")
        except OSError as error:
            faults.append(f"{sidecar.name}: {error.strerror or error}")
    return FileKeywords(found.merged(), faults)


class _Found:
    """Keywords as they are in the fields of one photograph."""

    def __init__(self) -> None:
        # levels, the text as it is in its field, whether it could be ours under another field
        self.xmp: list[tuple[FileKeyword, str, bool]] = []
        self.iptc: list[str] = []
        self.ours: set[str] = set()

    def add_packet(self, content: bytes | None, origin: Origin) -> None:
        if content is None or (b"\0" not in content[:64] and not any(name in content for name in NAMES)):
            return
        packet = xmp.parse(content)
        self.ours |= {key(each.value) for each in packet.ours() if each.kind == "keyword" and each.fields}
        written = {field.name for field in WRITTEN}
        for keyword in packet.theirs():
            path = tuple(spelling(level) for level in keyword.path if spelling(level))
            if path and path[0] != DIGIKAM_OWN and path[0] not in PRIVATE:
                self.xmp.append((FileKeyword(path, origin), keyword.text, keyword.field not in written))

    def merged(self) -> list[FileKeyword]:
        # another program may have copied what we wrote into a field that we never write
        theirs = [
            (keyword, text)
            for keyword, text, copied in self.xmp
            if not (copied and len(keyword.path) == 1 and key(keyword.path[0]) in self.ours)
        ]
        flat = {key(keyword.path[0]) for keyword, _ in theirs if len(keyword.path) == 1}
        trees = [
            keyword
            for keyword, text in theirs
            # `AC/DC` is one keyword where a flat field says so
            if len(keyword.path) > 1 and key(text) not in flat
        ]
        found: dict[tuple[str, ...], FileKeyword] = {}
        for keyword in trees:
            found.setdefault(keys(keyword.path), keyword)
        levels = _levels(trees)
        for keyword, _ in theirs:
            if len(keyword.path) == 1:
                path = levels.get(key(keyword.path[0]), keyword.path)
                found.setdefault(keys(path), FileKeyword(path, keyword.origin))
        self._add_iptc(found, levels)
        return list(found.values())

    def _add_iptc(self, found: dict[tuple[str, ...], FileKeyword], levels: dict[str, tuple[str, ...]]) -> None:
        known = [*self.ours, *(key(level) for keyword in found.values() for level in keyword.path)]
        for text in map(spelling, self.iptc):
            # programs cut keywords off there
            cut = len(text.encode()) >= iptc.LONGEST - 3 and any(word.startswith(key(text)) for word in known)
            if text and key(text) not in self.ours and not cut:
                path = levels.get(key(text), (text,))
                found.setdefault(keys(path), FileKeyword(path, "iptc"))


def _levels(trees: Sequence[FileKeyword]) -> dict[str, tuple[str, ...]]:
    """Return the place of each level of trees: a flat field holds them, too, where a program writes all levels.

    A leaf comes before a level within another tree.
    """
    places: dict[str, tuple[str, ...]] = {}
    for keyword in trees:
        places.setdefault(key(keyword.path[-1]), keyword.path)
    for keyword in trees:
        for depth in range(len(keyword.path) - 1, 0, -1):
            places.setdefault(key(keyword.path[depth - 1]), keyword.path[:depth])
    return places
