"""What a property of a packet holds, in whichever spelling of RDF, and the text of new properties."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aaam_pipeline.formats.xmp.fields import Field
from aaam_pipeline.formats.xmp.tree import RDF, Element, XmpError, escaped

CONTAINERS = {(RDF, kind) for kind in ("Bag", "Seq", "Alt")}
DESCRIPTION = (RDF, "Description")
ABOUT = ((RDF, "about"), ("", "about"))
_ITEM = re.compile(r"li|_\d+")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')""")
_SPACE = b" \t\r\n"


@dataclass(slots=True)
class Property:
    """A property of a description: an element, or an attribute where `element` is None.

    `values`: its texts; `items`: the list's elements that hold them, where it is a list.
    """

    description: Element
    element: Element | None
    values: list[str]
    items: list[Element] = field(default_factory=list)


def rdf_of(root: Element) -> Element:
    """Return the element rdf:RDF.

    Raises:
        XmpError: there is none: this is not XMP.
    """
    for element in root.walk():
        if element.name == (RDF, "RDF"):
            return element
    raise XmpError("is not XMP: it has no rdf:RDF")


def find(rdf: Element, uri: str, local: str) -> Iterator[Property]:
    """Yield the property of that name of each description that has it, in their order."""
    # programs differ in whether some namespaces end with a slash
    names = ((uri, local), (uri.rstrip("/"), local))
    for description in rdf.children:
        for name in names:
            if (value := description.attributes.get(name)) is not None:
                yield Property(description, None, [value] if value.strip() else [])
        for element in description.children:
            if element.name in names:
                yield read(description, element)


def read(description: Element, element: Element) -> Property:
    """Read a property that is an element.

    Raises:
        XmpError: it is a list in a spelling that is not understood, so that changing it could lose what it holds.
    """
    container = next((child for child in element.children if child.name in CONTAINERS), None)
    if container is not None:
        items = [child for child in container.children if child.name[0] == RDF and _ITEM.fullmatch(child.name[1])]
        return Property(description, element, [_text(item) for item in items], items)
    if element.children:
        if any(child.name == (RDF, "value") for child in element.children):
            return Property(description, element, [_text(element)])
        raise XmpError(f"has {element.name[1]} in a spelling that is not known here; it is left as it is")
    text = element.attributes.get((RDF, "resource")) or element.text
    return Property(description, element, [text] if text.strip() else [])


def _text(item: Element) -> str:
    """Return an item's text; one with qualifiers keeps it in rdf:value."""
    if not item.children:
        return item.attributes.get((RDF, "value")) or item.attributes.get((RDF, "resource")) or item.text
    for element in item.walk():
        if element.name == (RDF, "value"):
            return element.text
        if (value := element.attributes.get((RDF, "value"))) is not None:
            return value
    return ""


def space_before(text: bytes, place: int) -> int:
    """Return where the white space before a place begins."""
    while place and text[place - 1] in _SPACE:
        place -= 1
    return place


def attribute_span(text: bytes, element: Element, uri: str, local: str) -> tuple[int, int]:
    """Return where an attribute stands in its element's start tag, with the white space before it."""
    for found in _ATTRIBUTE.finditer(text, element.start, element.inner):
        prefix, _, name = found[1].decode().rpartition(":")
        if name == local and prefix and element.scope.get(prefix, "").rstrip("/") == uri.rstrip("/"):
            return found.span()
    raise AssertionError("an attribute that was read is in the start tag")


def declaration_span(text: bytes, element: Element, uri: str) -> tuple[int, int] | None:
    """Return where an element's start tag declares a namespace, with the white space before it; None if nowhere."""
    for found in _ATTRIBUTE.finditer(text, element.start, element.inner):
        if found[1].startswith(b"xmlns:") and found[2][1:-1] == uri.encode():
            return found.span()
    return None


def prefixed(scope: Mapping[str, str], uri: str, customary: str) -> tuple[str, str]:
    """Return a prefix that names a namespace, and its declaration where it needs one."""
    if scope.get(customary) == uri:
        return customary, ""
    for prefix, bound in scope.items():
        if bound == uri and prefix:
            return prefix, ""
    return customary, f' xmlns:{customary}="{escaped(uri)}"'


def text_of(field: Field, values: Sequence[str], scope: Mapping[str, str], line: str) -> str:
    """Return a property as text; `line` is a line end with the indentation of the property."""
    prefix, declared = prefixed(scope, field.uri, field.prefix)
    rdf, rdf_declared = prefixed(scope, RDF, "rdf")
    items = "".join(f"{line}  <{rdf}:li>{escaped(value)}</{rdf}:li>" for value in values)
    container = f"{line} <{rdf}:{field.container}>{items}{line} </{rdf}:{field.container}>"
    return f"<{prefix}:{field.local}{declared}{rdf_declared}>{container}{line}</{prefix}:{field.local}>"
