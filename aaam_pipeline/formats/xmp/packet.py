"""A packet: what keywords it holds, and the same packet with others; all other text stays byte for byte."""

import codecs
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

from aaam_pipeline.formats.xmp import fields, record, values
from aaam_pipeline.formats.xmp.edits import with_keywords
from aaam_pipeline.formats.xmp.fields import Field, Keyword
from aaam_pipeline.formats.xmp.tree import Element, XmpError, read

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# the first character of a packet without a mark is `<`
_FIRST = ((b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"), (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_DECLARED = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_TRAILER = re.compile(rb"""\s*(<\?xpacket\s+end\s*=\s*["'][rw]["']\s*\?>)\s*\Z""")
_HEADER = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'.encode()
_LINE_OF_PADDING = 100


class Packet:
    """An XMP packet; it never changes: what changes it returns another one."""

    def __init__(self, text: bytes, encoding: str = "utf-8", mark: bytes = b"", tail: bytes = b"") -> None:
        """Take a packet's text in UTF-8; `encoding`, `mark` (a BOM) and `tail` (zero bytes) are those of its file.

        Raises:
            XmpError: it is not XMP.
        """
        self.text, self.encoding, self.mark, self.tail = text, encoding, mark, tail
        self.root: Element = read(text)
        self.rdf: Element = values.rdf_of(self.root)

    def __eq__(self, other: object) -> bool:
        """Return whether two packets are the same bytes."""
        return isinstance(other, Packet) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.text)

    @cached_property
    def _keywords(self) -> list[Keyword]:
        found: list[Keyword] = []
        for field in fields.READ:
            for text in self.values(field):
                paths = fields.categories(text) if field is fields.CATEGORIES else [field.path(text)]
                shown = [path for path in paths if path and any(map(fields.is_shown, path))]
                found.extend(Keyword(path, field.name, text) for path in shown)
        return found

    def keywords(self) -> list[Keyword]:
        """Return the keywords of all fields, ours among them, field after field."""
        return list(self._keywords)

    def theirs(self) -> list[Keyword]:
        """Return the keywords that we did not write."""
        entries = self.ours()
        ours = {name: set(map(fields.spelling, record.written(entries, name))) for name in fields.BY_NAME}
        return [each for each in self._keywords if fields.spelling(each.text) not in ours[each.field]]

    def ours(self) -> list[record.OwnEntry]:
        """Return what the packet says that we did to it."""
        return record.read(self.rdf)

    def values(self, field: Field) -> list[str]:
        """Return the texts of a field, as they are written."""
        return [value for each in values.find(self.rdf, field.uri, field.local) for value in each.values]

    def is_empty(self) -> bool:
        """Return whether it has no property at all."""
        return not any(
            each.children or any(name not in values.ABOUT for name in each.attributes) for each in self.rdf.children
        )

    def with_keywords(
        self,
        add: Mapping[str, Sequence[str]],
        remove: Mapping[str, Collection[str]],
        entries: Sequence[record.OwnEntry],
    ) -> "Packet":
        """Return the packet with texts added to fields and removed from them (by the fields' names), and our record.

        Raises:
            XmpError: a field is written in a way that is not understood.
        """
        text = with_keywords(self.text, self.root, self.rdf, add, remove, entries)
        return Packet(text, self.encoding, self.mark, self.tail)

    def to_bytes(self, padding: int | None = None) -> bytes:
        """Return the packet as it is written to a file.

        `padding`: write it in an `xpacket` wrapper with that many bytes of white space for later growth, as embedded
        packets have it; by default all is as it was read.
        """
        text = self.text if padding is None else self._wrapped(padding)
        if self.encoding == "utf-8":
            return self.mark + text + self.tail
        return self.mark + text.decode().encode(self.encoding, "xmlcharrefreplace") + self.tail

    def _wrapped(self, padding: int) -> bytes:
        found = _TRAILER.search(self.text)
        body = self.text[: found.start()] if found else self.text.rstrip()
        trailer = found[1] if found else b'<?xpacket end="w"?>'
        if not found and not body.startswith(b"<?xpacket"):
            body = _HEADER + re.sub(rb"\A\s*<\?xml[^>]*\?>\s*", b"", body)
        unit = len(" ".encode(self.encoding))
        count = padding // unit
        lines = b"".join(b" " * (_LINE_OF_PADDING - 1) + b"\n" for _ in range(count // _LINE_OF_PADDING))
        return body + lines + b" " * (count % _LINE_OF_PADDING) + trailer


def parse(content: bytes) -> Packet:
    """Read a packet: of a sidecar, or as it is embedded in a picture.

    Raises:
        XmpError: it is not XMP, or cannot be read with certainty.
    """
    if not content.strip(b"\0 \t\r\n"):
        raise XmpError("is empty")
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", ""))
    encoding = encoding or next((name for first, name in _FIRST if content.startswith(first)), "")
    if not encoding:
        declared = _DECLARED.match(content)
        encoding = declared[1].decode().lower() if declared else "utf-8"
    body = content[len(mark) :]
    size = len(body.rstrip(b"\0"))
    size += -size % len(" ".encode(encoding)) if encoding.startswith("utf-") else 0
    try:
        text = body[:size].decode(encoding)
        if text.encode(encoding) != body[:size]:
            raise XmpError(f"cannot be written as it was read ({encoding})")
        return Packet(text.encode(), "utf-8" if encoding in ("utf8", "us-ascii") else encoding, mark, body[size:])
    except LookupError:
        raise XmpError(f"is in an unknown encoding ({encoding})") from None
    except UnicodeError as error:
        raise XmpError(f"is not the {encoding} that it says ({error})") from None


EMPTY = Packet(
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="aaam-pipe">\n'
    b' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n </rdf:RDF>\n</x:xmpmeta>\n'
)
