"""The properties of XMP that hold keywords, and how each of them writes a hierarchy."""

import unicodedata
from typing import NamedTuple
from xml.parsers import expat

from aaam_pipeline.core.text import folded, nfc


class Field(NamedTuple):
    """A property that holds keywords.

    `separator` joins the levels of a hierarchy ("": the field is flat); `container`: the kind of list it is written as.
    """

    name: str
    uri: str
    separator: str
    container: str = "Bag"

    @property
    def prefix(self) -> str:
        """Return the customary prefix."""
        return self.name.split(":")[0]

    @property
    def local(self) -> str:
        """Return the name without the prefix."""
        return self.name.split(":")[1]

    def path(self, text: str) -> tuple[str, ...]:
        """Return the levels of a keyword, the topmost first; empty ones (`a//b`) are left out."""
        if not self.separator:
            return (text,)
        return tuple(level for level in text.split(self.separator) if level.strip())

    def holds(self, path: tuple[str, ...]) -> bool:
        """Return whether a keyword with these levels can be written so that it is read as the same."""
        return not self.separator or not any(self.separator in level for level in path)

    def text(self, path: tuple[str, ...]) -> str:
        """Return a keyword as it is written; a flat field holds the last level."""
        return self.separator.join(path) if self.separator else path[-1]


SUBJECT = Field("dc:subject", "http://purl.org/dc/elements/1.1/", "")
HIERARCHICAL = Field("lr:hierarchicalSubject", "http://ns.adobe.com/lightroom/1.0/", "|")
TAGS_LIST = Field("digiKam:TagsList", "http://www.digikam.org/ns/1.0/", "/", "Seq")
WRITTEN = (SUBJECT, HIERARCHICAL, TAGS_LIST)
CATEGORIES = Field("acdsee:categories", "http://ns.acdsee.com/iptc/1.0/", "")
READ = (
    *WRITTEN,
    Field("MicrosoftPhoto:LastKeywordXMP", "http://ns.microsoft.com/photo/1.0/", "/"),
    Field("mediapro:CatalogSets", "http://ns.iview-multimedia.com/mediapro/1.0/", "|"),
    Field("acdsee:keywords", "http://ns.acdsee.com/iptc/1.0/", ""),
    CATEGORIES,
)
BY_NAME = {each.name: each for each in READ}
# what programs keep for themselves under this topmost level is no keyword of a person
PRIVATE = frozenset({"darktable"})


class Keyword(NamedTuple):
    """A keyword: its levels, the topmost first, the field's name, and its text there."""

    path: tuple[str, ...]
    field: str
    text: str


def spelling(text: str) -> str:
    """Return what two spellings share that programs make of one keyword: composed, white space trimmed."""
    return " ".join(nfc(text).split())


def key(text: str) -> str:
    """Return what is equal for keywords that are the same word, in whatever case."""
    return folded(" ".join(text.split()))


def keys(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the key of every level."""
    return tuple(map(key, path))


def is_shown(text: str) -> bool:
    """Return whether a keyword has any character that is seen."""
    return any(not character.isspace() and unicodedata.category(character) != "Cf" for character in text)


def categories(text: str) -> list[tuple[str, ...]]:
    """Return the assigned categories of ACDSee, which are XML inside of a text; damaged ones are none."""
    found: list[tuple[str, ...]] = []
    names: list[str] = []
    assigned: list[bool] = []

    def refuse(*_: object) -> None:
        raise expat.ExpatError("a document type declaration")

    def start(name: str, attributes: dict[str, str]) -> None:
        names.append("")
        assigned.append(name == "Category" and attributes.get("Assigned") == "1")

    def characters(piece: str) -> None:
        names[-1] += piece

    def end(_: str) -> None:
        if assigned.pop():
            found.append(tuple(level.strip() for level in names[1:] if level.strip()))
        names.pop()

    parser = expat.ParserCreate("UTF-8")
    parser.StartDoctypeDeclHandler, parser.StartElementHandler = refuse, start
    parser.CharacterDataHandler, parser.EndElementHandler = characters, end
    try:
        parser.Parse(text.encode(), True)
    except (expat.ExpatError, UnicodeEncodeError):
        return []
    return [path for path in reversed(found) if path]
