"""What this program wrote into a packet, kept in the packet itself, in a namespace of its own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Literal, get_args

import msgspec

from aaam_pipeline.formats.xmp.tree import RDF, Element, escaped
from aaam_pipeline.formats.xmp.values import CONTAINERS, DESCRIPTION, prefixed

URI = "urn:aaam-pipe:keywords:1.0/"
PREFIX = "aaam"
WRITTEN = "Written"
Kind = Literal["keyword", "copy", "replaced", "sidecar"]
State = Literal["", "deleted", "withdrawn"]


class OwnEntry(msgspec.Struct, frozen=True):
    """One thing that we did to a packet.

    `kind`: a `keyword` of a label; a `copy` of a keyword of a person into a field that lacked it; a property that was
    `replaced` since it could not hold a list (`text`: as it was); the `sidecar` was made by us.
    `value`: the keyword as written into each of `fields`; `seen`: fields that showed the word already. `by`: person,
    file or model; of a copy `picture` where the picture itself holds the keyword.
    `state`: still ours (""); `deleted` by somebody, noticed `at`, or `withdrawn` by us while fields that we do not
    write show it (`text`: "shown" where one of ours does).
    """

    value: str
    kind: Kind = "keyword"
    fields: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    by: str = ""
    score: float | None = None
    model: str = ""
    state: State = ""
    at: str = ""
    text: str = ""


def read(rdf: Element) -> list[OwnEntry]:
    """Return the entries of a packet; ones that are not understood are left out."""
    return [entry for item in _items(rdf) if (entry := _entry(_texts(item))) is not None]


def written(entries: Iterable[OwnEntry], field: str) -> set[str]:
    """Return the keywords of ours in a field, as they were written."""
    return {each.value for each in entries if each.kind in ("keyword", "copy") and field in each.fields}


def elements(rdf: Element) -> list[tuple[Element, Element]]:
    """Return every (description, property) of our namespace."""
    return [(each, child) for each in rdf.children for child in each.children if child.name[0] == URI]


def _items(rdf: Element) -> Iterator[Element]:
    for _, element in elements(rdf):
        if element.name[1] == WRITTEN:
            for container in element.children:
                if container.name in CONTAINERS:
                    yield from container.children


def _texts(item: Element) -> dict[str, str]:
    """Return the members of a structure, whether they are attributes or elements, in a description or not."""
    nodes = [item, *(child for child in item.children if child.name == DESCRIPTION)]
    texts = {local: value for node in nodes for (uri, local), value in node.attributes.items() if uri == URI}
    return texts | {child.name[1]: child.text for node in nodes for child in node.children if child.name[0] == URI}


def _entry(texts: Mapping[str, str]) -> OwnEntry | None:
    kind, state = texts.get("kind", "keyword"), texts.get("state", "")
    if kind not in get_args(Kind) or state not in get_args(State):
        return None
    score = None
    with suppress(ValueError):
        score = float(texts["score"]) if "score" in texts else None
    fields, seen = (tuple(texts.get(name, "").split()) for name in ("fields", "seen"))
    plain = {name: texts.get(name, "") for name in ("value", "by", "model", "at", "text")}
    return OwnEntry(kind=kind, state=state, score=score, fields=fields, seen=seen, **plain)  # type: ignore[arg-type]


def text_of(entries: Sequence[OwnEntry], scope: Mapping[str, str], line: str) -> str:
    """Return the record as the text of a property; `line` is a line end with the property's indentation."""
    prefix, declared = prefixed(scope, URI, PREFIX)
    rdf, rdf_declared = prefixed(scope, RDF, "rdf")
    items = "".join(f"{line}  <{rdf}:li{_attributes(entry, prefix)}/>" for entry in entries)
    start, end = f"{prefix}:{WRITTEN}{declared}{rdf_declared}", f"{prefix}:{WRITTEN}"
    return f"<{start}>{line} <{rdf}:Bag>{items}{line} </{rdf}:Bag>{line}</{end}>"


def _attributes(entry: OwnEntry, prefix: str) -> str:
    score = "" if entry.score is None else f"{entry.score:.4f}"
    texts = {
        "kind": entry.kind,
        "value": entry.value,
        "fields": " ".join(entry.fields),
        "seen": " ".join(entry.seen),
        "by": entry.by,
        "score": score,
        "model": entry.model,
        "state": entry.state,
        "at": entry.at,
        "text": entry.text,
    }
    return "".join(f' {prefix}:{name}="{escaped(text)}"' for name, text in texts.items() if text)
