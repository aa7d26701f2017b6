"""Edits of a packet's text: keywords in and out, our record, and nothing else."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from aaam_pipeline.formats.xmp import record, values
from aaam_pipeline.formats.xmp.fields import WRITTEN, Field, spelling
from aaam_pipeline.formats.xmp.tree import RDF, Element, escaped
from aaam_pipeline.formats.xmp.values import Property


class Edit(NamedTuple):
    """A piece of text, `start:end`, and what comes in its place."""

    start: int
    end: int
    text: str = ""


def with_keywords(
    text: bytes,
    root: Element,
    rdf: Element,
    add: Mapping[str, Sequence[str]],
    remove: Mapping[str, Collection[str]],
    entries: Sequence[record.OwnEntry],
) -> bytes:
    """Return a packet's text with texts added to fields and removed from them, and with our record.

    Raises:
        XmpError: a field is written in a way that is not understood.
    """
    return _Editor(text, root, rdf, entries).run(add, remove)


class _Editor:
    def __init__(self, text: bytes, root: Element, rdf: Element, entries: Sequence[record.OwnEntry]) -> None:
        self.text, self.root, self.rdf = text, root, rdf
        self.replaced = {entry.fields[0]: entry for entry in entries if entry.kind == "replaced" and entry.fields}
        self.entries = [entry for entry in entries if entry.kind != "replaced"]
        self.edits: list[Edit] = []
        self.cut: list[tuple[Element, Element]] = []
        self.fresh: dict[Field, list[str]] = {}
        self.keeps_record = True
        self.newline = "\r\n" if b"\r\n" in text else "\n"

    def run(self, add: Mapping[str, Sequence[str]], remove: Mapping[str, Collection[str]]) -> bytes:
        for field in WRITTEN:
            gone = set(map(spelling, remove.get(field.name, ())))
            extra = list(add.get(field.name, ()))
            for each in list(values.find(self.rdf, field.uri, field.local)):
                extra = self.change(field, each, gone, extra)
            if extra:
                self.fresh.setdefault(field, []).extend(extra)
        # with nothing else of ours left there is nothing that could be put back later
        self.keep_record([*self.entries, *self.replaced.values()] if self.entries else [])
        self.drop_empty_descriptions()
        return applied(self.text, self.edits)

    def change(self, field: Field, each: Property, gone: Collection[str], extra: list[str]) -> list[str]:
        """Change one property; return the texts that it could not take."""
        stay = [value for value in each.values if spelling(value) not in gone]
        if each.element is None:
            if len(stay) < len(each.values) or extra:
                self.edits.append(Edit(*values.attribute_span(self.text, each.description, field.uri, field.local)))
                self.fresh.setdefault(field, []).extend(stay)
            return extra
        if not extra and len(stay) == len(each.values):
            return extra
        was = self.replaced.get(field.name)
        if not extra and was is not None and stay == ([was.value] if was.value else []):
            self.edits.append(Edit(each.element.start, each.element.end, was.text))
            del self.replaced[field.name]
        elif not stay and not extra:
            self.cut.append((each.description, each.element))
        elif each.items:
            self.change_items(each, gone, extra)
        else:
            raw = self.text[each.element.start : each.element.end].decode()
            value = stay[0] if stay else ""
            self.replaced.setdefault(field.name, record.OwnEntry(value, "replaced", (field.name,), text=raw))
            line = self.newline + self.indentation(each.element)
            text = values.text_of(field, [*stay, *extra], each.description.scope, line)
            self.edits.append(Edit(each.element.start, each.element.end, text))
        return []

    def change_items(self, each: Property, gone: Collection[str], extra: list[str]) -> None:
        for item, value in zip(each.items, each.values, strict=True):
            if spelling(value) in gone:
                self.edits.append(Edit(values.space_before(self.text, item.start), item.end))
        last = each.items[-1]
        space = self.text[values.space_before(self.text, last.start) : last.start].decode()
        rdf, declared = values.prefixed(last.scope, RDF, "rdf")
        items = "".join(f"{space}<{rdf}:li{declared}>{escaped(text)}</{rdf}:li>" for text in extra)
        self.edits.append(Edit(last.end, last.end, items))

    def indentation(self, element: Element) -> str:
        space = self.text[values.space_before(self.text, element.start) : element.start].decode()
        return space.rpartition("\n")[2]

    def keep_record(self, entries: Sequence[record.OwnEntry]) -> None:
        """Put new properties and the record where the record is, or into a description of their own."""
        there = record.elements(self.rdf)
        self.keeps_record = bool(entries)
        if not entries and not self.fresh:
            self.cut.extend(there)
            return
        there = [each for each in there if each[1].name[1] == record.WRITTEN]
        if there and list(entries) == record.read(self.rdf) and not self.fresh:
            return
        self.cut.extend(there[1:])
        if there:
            description, element = there[0]
            line = self.newline + self.indentation(element)
            text = line.join(self.properties(entries, description.scope, line))
            self.edits.append(Edit(element.start, element.end, text))
            return
        self.add_description(entries)

    def properties(self, entries: Sequence[record.OwnEntry], scope: Mapping[str, str], line: str) -> list[str]:
        texts = [values.text_of(field, each, scope, line) for field, each in self.fresh.items()]
        return [*texts, record.text_of(entries, scope, line)] if entries else texts

    def add_description(self, entries: Sequence[record.OwnEntry]) -> None:
        scope = dict(self.rdf.scope)
        declared = ""
        own = [(record.PREFIX, record.URI)] if entries else []
        for prefix, uri in [("rdf", RDF), *own, *((each.prefix, each.uri) for each in self.fresh)]:
            if scope.get(prefix) != uri:
                scope[prefix] = uri
                declared += f' xmlns:{prefix}="{escaped(uri)}"'
        first = next((each for each in self.rdf.children if each.name == values.DESCRIPTION), None)
        about = next((first.attributes[name] for name in values.ABOUT if name in first.attributes), "") if first else ""
        line = f"{self.newline}  "
        inner = "".join(f"{line} {text}" for text in self.properties(entries, scope, f"{line} "))
        block = f'{line}<rdf:Description rdf:about="{escaped(about)}"{declared}>{inner}{line}</rdf:Description>'
        if self.rdf.inner == self.rdf.end:
            name = self.text[self.rdf.start + 1 : self.rdf.inner].split(None, 1)[0].rstrip(b"/>").decode()
            self.edits.append(Edit(self.rdf.inner - 2, self.rdf.inner, f">{block}{self.newline} </{name}>"))
            return
        place = self.rdf.children[-1].end if self.rdf.children else self.rdf.inner
        self.edits.append(Edit(place, place, block))

    def drop_empty_descriptions(self) -> None:
        """Cut properties, and with the last one of a description the description."""
        kept = {id(element): description for description, element in self.cut}
        for description in {id(each): each for each in kept.values()}.values():
            changed = any(description.start <= edit.start and edit.end <= description.end for edit in self.edits)
            bare = all(name in values.ABOUT for name in description.attributes)
            if bare and not changed and all(id(child) in kept for child in description.children):
                self.take_out(description)
                continue
            for child in description.children:
                if id(child) in kept:
                    self.take_out(child)
        if not self.keeps_record and self.cut:
            self.drop_declarations()

    def drop_declarations(self) -> None:
        """Cut the declarations of our namespace around the record: another program may have moved them up."""
        around = [description for description, element in self.cut if element.name[0] == record.URI]
        for element in [self.root, self.rdf, *around[:1]]:
            if not any(edit.start < element.inner and edit.end > element.start for edit in self.edits):
                span = values.declaration_span(self.text, element, record.URI)
                self.edits.extend([Edit(*span)] if span else [])

    def take_out(self, element: Element) -> None:
        self.edits.append(Edit(values.space_before(self.text, element.start), element.end))


def applied(text: bytes, edits: Iterable[Edit]) -> bytes:
    """Return a text with edits, none of which overlap."""
    pieces: list[bytes] = []
    place = 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        assert edit.start >= place, "edits of different elements do not overlap"
        pieces += [text[place : edit.start], edit.text.encode()]
        place = edit.end
    return b"".join([*pieces, text[place:]])
