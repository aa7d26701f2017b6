"""The directories of a TIFF: which picture of the file is the whole one, and whether the file is a camera's raw data.

A TIFF holds a chain of directories, one a page; a page can have more in SubIFDs. Raw files are TIFFs whose first page
is often a small picture for quick looks, while the sensor's values lie in a SubIFD. Tags by TIFF 6.0, TIFF/EP, DNG.
"""

from collections.abc import Iterator
from struct import Struct, error, pack, unpack_from
from typing import NamedTuple

SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
MAKE, SAMPLES, SUB_IFDS, SAMPLE_FORMAT, DNG_VERSION = 271, 277, 330, 339, 50706
TAGS = frozenset(
    {SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, MAKE, SAMPLES, SUB_IFDS, SAMPLE_FORMAT, DNG_VERSION}
)
# values of a sensor: colour filter array, linear raw
SENSOR = frozenset({32803, 34892})
# of Nikon, Sony, Pentax, Samsung, Kodak
RAW_COMPRESSIONS = frozenset({34713, 32767, 65535, 32770, 65000})
# bytes of a value by its type, and how struct calls the types that are read
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 18: 8}
CODES = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
MOST_DIRECTORIES, MOST_VALUES = 64, 64
# bits of SUBFILE_TYPE: a small copy, a mask
REDUCED_OR_MASK = 1 | 4


class Directory(NamedTuple):
    """A page, or a picture in a page: where its entries begin, and those tags of it that are in `TAGS`."""

    place: int
    tags: dict[int, tuple[int, ...] | bytes]

    def number(self, tag: int, default: int = 0) -> int:
        """Return a tag's first number."""
        values = self.tags.get(tag)
        return values[0] if isinstance(values, tuple) and values else default

    @property
    def is_secondary(self) -> bool:
        """Return whether it is a small copy of another picture in the file, or its mask."""
        return bool(self.number(SUBFILE_TYPE) & REDUCED_OR_MASK)


def raw_kind(content: bytes) -> str:
    """Return whose raw file it is ("DNG", a camera's maker); "" if it is a picture."""
    every = []
    for page in pages(content):
        every += [page, *inner(content, page)]
    for each in every:
        if DNG_VERSION in each.tags:
            return "DNG"
    for each in every:
        if each.number(PHOTOMETRIC) in SENSOR or each.number(COMPRESSION) in RAW_COMPRESSIONS:
            make = next((found.tags[MAKE] for found in every if MAKE in found.tags), b"")
            return _text(make) or "of an unknown camera"
    return ""


def with_whole_picture_first(content: bytes) -> bytes:
    """Return a TIFF that begins with a picture which is no small copy of another one; the same bytes if it does."""
    every = pages(content)
    first = next(every, None)
    if first is None or not first.is_secondary:
        return content
    for page in (*inner(content, first), *every):
        if not page.is_secondary:
            order, layout = _layout(content)
            place = pack(order + layout.offset, page.place)
            return content[: layout.start] + place + content[layout.start + len(place) :]
    return content


class _Layout(NamedTuple):
    """How struct reads a directory: its count, its entries, an offset; and where the file holds the first one's."""

    number: str
    entry: str
    offset: str
    start: int


CLASSIC, BIG = _Layout("H", "HHI4s", "I", 4), _Layout("Q", "HHQ8s", "Q", 8)


def _layout(content: bytes) -> tuple[str, _Layout]:
    order = "<" if content[:2] == b"II" else ">"
    return order, BIG if b"+" in content[2:4] else CLASSIC


def pages(content: bytes) -> Iterator[Directory]:
    """Yield the directories of the chain, as far as they can be read."""
    order, layout = _layout(content)
    seen: set[int] = set()
    try:
        (place,) = unpack_from(order + layout.offset, content, layout.start)
        while place and place not in seen and len(seen) < MOST_DIRECTORIES:
            seen.add(place)
            found, end = _directory(content, place)
            yield found
            (place,) = unpack_from(order + layout.offset, content, end)
    except error:
        return


def inner(content: bytes, page: Directory) -> list[Directory]:
    """Return the pictures in a page (SubIFDs), as far as they can be read."""
    found = []
    for place in page.tags.get(SUB_IFDS, ()):
        try:
            found.append(_directory(content, place)[0])
        except error:
            continue
    return found


def _directory(content: bytes, place: int) -> tuple[Directory, int]:
    """Return a directory and where its entries end.

    Raises:
        struct.error: it is cut off.
    """
    order, layout = _layout(content)
    (count,) = unpack_from(order + layout.number, content, place)
    entry = Struct(order + layout.entry)
    start = place + Struct(order + layout.number).size
    tags: dict[int, tuple[int, ...] | bytes] = {}
    for number in range(min(count, (len(content) - start) // entry.size)):
        tag, kind, values, held = entry.unpack_from(content, start + number * entry.size)
        if tag not in TAGS or kind not in SIZES or values > MOST_VALUES * SIZES[kind]:
            continue
        size = values * SIZES[kind]
        if size > len(held):
            (at,) = unpack_from(order + layout.offset, held)
            held = content[at : at + size]
        tags[tag] = unpack_from(f"{order}{values}{CODES[kind]}", held) if kind in CODES else held[:size]
    return Directory(place, tags), start + count * entry.size


def _text(value: tuple[int, ...] | bytes) -> str:
    text = value.split(b"\0")[0].decode("latin-1") if isinstance(value, bytes) else ""
    return "".join(letter for letter in text if letter.isprintable()).strip()
