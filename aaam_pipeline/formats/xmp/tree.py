"""A packet's text as a tree of elements that know their place in it, so that an edit is an edit of text."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from aaam_pipeline.core.errors import IntegrityError

MOST_BYTES = 64 * 2**20
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XML = "http://www.w3.org/XML/1998/namespace"
_TAG = re.compile(rb"""<(?:[^"'>]++|"[^"]*+"|'[^']*+')*+>""")
# what XML 1.0 cannot hold in any spelling
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class XmpError(IntegrityError):
    """A packet that is not XMP, or that cannot be changed without harm."""


@dataclass(slots=True)
class Element:
    """An element; `name` and the names of `attributes` are (namespace, local name).

    The start tag is `start:inner`, the end tag `close:end` of the packet's UTF-8 text; of an empty element (`<a/>`)
    `inner`, `close` and `end` are equal.
    """

    name: tuple[str, str]
    attributes: dict[tuple[str, str], str]
    scope: Mapping[str, str]
    start: int
    inner: int
    close: int = -1
    end: int = -1
    children: list["Element"] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the text directly in it."""
        return "".join(self.pieces)

    def walk(self) -> Iterator["Element"]:
        """Yield it and all elements below it, in their order."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting.extend(reversed(element.children))


def read(text: bytes) -> Element:
    """Return the root of a packet in UTF-8.

    Raises:
        XmpError: it is not well-formed XML, has a document type declaration, or is longer than MOST_BYTES.
    """
    if len(text) > MOST_BYTES:
        raise XmpError(f"is longer than {MOST_BYTES >> 20} MiB")
    builder = _Builder(text)
    try:
        builder.parser.Parse(text, True)
    except expat.ExpatError as error:
        raise XmpError(f"is not well-formed XML ({error})") from None
    return builder.root


class _Builder:
    def __init__(self, text: bytes) -> None:
        self.text = text
        self.open: list[Element] = []
        self.scope: Mapping[str, str] = {"xml": XML}
        self.declared: dict[str, str] = {}
        # the encoding given here outranks the one declared in the text, which is that of the file
        self.parser = expat.ParserCreate("UTF-8", "\n")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartNamespaceDeclHandler = self._declare
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.root: Element

    def _refuse(self, *_: object) -> None:
        raise XmpError("has a document type declaration, which XMP never has")

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        self.declared[prefix or ""] = uri or ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        scope = self.open[-1].scope if self.open else self.scope
        if self.declared:
            scope = {**scope, **self.declared}
            self.declared = {}
        start = self.parser.CurrentByteIndex
        tag = _TAG.match(self.text, start)
        assert tag is not None, "expat found a tag here"
        named = {_split(key): value for key, value in attributes.items()}
        element = Element(_split(name), named, scope, start, tag.end())
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def _end(self, name: str) -> None:
        element = self.open.pop()
        if self.text[element.inner - 2 : element.inner] == b"/>":
            element.close = element.end = element.inner
        else:
            element.close = self.parser.CurrentByteIndex
            element.end = self.text.index(b">", element.close) + 1

    def _characters(self, text: str) -> None:
        self.open[-1].pieces.append(text)


def _split(name: str) -> tuple[str, str]:
    uri, _, local = name.rpartition("\n")
    return uri, local


def writable(text: str) -> bool:
    """Return whether XML can hold a text."""
    return not _NO_XML.search(text)


def escaped(text: str) -> str:
    """Return a text as it stands in XML, also between quotes; line ends and tabs stay what they are."""
    for character, reference in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, reference)
    return text.replace("\r", "&#xD;").replace("\n", "&#xA;").replace("\t", "&#x9;")
