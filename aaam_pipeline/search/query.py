"""What a query means: a tree of labels and filters, the same for `football grass` and for `( "grass" football )`.

Operands of one `And` or `Or` are never of its own kind, and never equal: `dog dog` is `dog`.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import msgspec

from aaam_pipeline.formats.vocabulary import Vocabulary

NUMBER_FIELDS = ("width", "height", "bytes")
"""Metadata that is compared with a number: `width>1000`."""
TEXT_FIELDS = ("path", "root", "after", "before", "unfamiliar")
"""Metadata that is matched: `path:holiday/*`, `after:2024-05`, `unfamiliar:no`."""
TO_INTEGER: dict[str, Callable[[Fraction], int]] = {">=": ceil, ">": floor, "<=": floor, "<": ceil, "=": round}
"""An integer compares with a number as it does with this integer; `=`: with the nearest."""


class Label(msgspec.Struct, frozen=True):
    """The probability of a label, by its id."""

    id: int


class ScoreFilter(msgspec.Struct, frozen=True):
    """`person>=0.8`: holds where the stored probability compares like this."""

    label: int
    operator: str
    value: Decimal


class MetadataFilter(msgspec.Struct, frozen=True):
    """`width>1000`, `path:holiday/*`, `after:2024`: holds for such images; operator `:` for `TEXT_FIELDS`."""

    field: str
    operator: str
    value: Decimal | str | date


class Not(msgspec.Struct, frozen=True):
    """`-x`."""

    item: "Node"


class And(msgspec.Struct, frozen=True):
    """`x y`, two or more."""

    items: tuple["Node", ...]


class Or(msgspec.Struct, frozen=True):
    """`x|y`, two or more."""

    items: tuple["Node", ...]


class Constant(msgspec.Struct, frozen=True):
    """A score that all images have: what a word is for which nothing is known of them."""

    value: float


Node = Label | ScoreFilter | MetadataFilter | Not | And | Or | Constant


def joined(kind: type[And] | type[Or], items: Iterable[Node]) -> Node:
    """Return one or more expressions as an `And` or `Or`: those of the same kind are merged, equal ones kept once."""
    flat: dict[Node, None] = {}
    for item in items:
        flat |= dict.fromkeys(item.items if isinstance(item, And | Or) and type(item) is kind else (item,))
    return kind(tuple(flat)) if len(flat) > 1 else next(iter(flat))


def filters_of(labels: Iterable[int], operator: str, value: Decimal) -> Node:
    """Return a filter on the score of what stands for several labels: one is at least, all of them are at most."""
    return joined(And if "<" in operator else Or, [ScoreFilter(label, operator, value) for label in labels])


def negated(item: Node) -> Node:
    """Return the opposite of an expression."""
    return item.item if isinstance(item, Not) else Not(item)


def canonical(node: Node) -> Node:
    """Return an expression with all operands in one order, that of the labels' ids first: equal ones rank equally."""
    match node:
        case And(items) | Or(items):
            return type(node)(tuple(sorted(map(canonical, items), key=_place)))
        case Not(item):
            return Not(canonical(item))
        case _:
            return node


def _place(node: Node) -> tuple[bool, int, str]:
    return not isinstance(node, Label), node.id if isinstance(node, Label) else 0, repr(node)


def leaves(node: Node) -> list[Label | ScoreFilter | MetadataFilter]:
    """Return the labels and filters of an expression, in the order named."""
    match node:
        case Not(item):
            return leaves(item)
        case And(items) | Or(items):
            return [leaf for item in items for leaf in leaves(item)]
        case Label() | ScoreFilter() | MetadataFilter():
            return [node]
        case Constant():
            return []


def labels(node: Node) -> list[int]:
    """Return the ids of the labels in an expression, also those of its filters, each once, in the order named."""
    named = (leaf for leaf in leaves(node) if not isinstance(leaf, MetadataFilter))
    return list(dict.fromkeys(leaf.id if isinstance(leaf, Label) else leaf.label for leaf in named))


def asks_for(node: Node, field: str) -> bool:
    """Return whether an expression has a filter on a field of the metadata."""
    return any(isinstance(leaf, MetadataFilter) and leaf.field == field for leaf in leaves(node))


def degree(node: Node) -> int:
    """Return how many labels an expression has, filters not counted."""
    return sum(isinstance(leaf, Label) for leaf in leaves(node))


def text(node: Node, vocabulary: Vocabulary, in_quotes: bool = False) -> str:
    """Write an expression so that parsing it gives the same tree; `in_quotes`: every label in quotes."""
    match node:
        case Label(id):
            return _name(vocabulary.labels[id], in_quotes)
        case ScoreFilter(id, operator, value):
            return f"{_name(vocabulary.labels[id], in_quotes)}{operator}{value:f}"
        case MetadataFilter(field, ":", value):
            return f'{field}:"{value}"' if isinstance(value, str) else f"{field}:{value}"
        case MetadataFilter(field, operator, value):
            return f"{field}{operator}{value:f}"
        case Constant(value):
            return f"{value:g}"
        case Not(item):
            return f"-{_inner(item, vocabulary, in_quotes)}"
        case And(items):
            # in quotes: two words side by side might together be another label
            return " ".join(_inner(item, vocabulary, True) for item in items)
        case Or(items):
            return "|".join(_inner(item, vocabulary, in_quotes) for item in items)


def quoted(text: str) -> str:
    """Return a text in quotes; those in it are doubled."""
    return '"' + text.replace('"', '""') + '"'


def _inner(item: Node, vocabulary: Vocabulary, in_quotes: bool) -> str:
    written = text(item, vocabulary, in_quotes)
    return f"({written})" if isinstance(item, And | Or) else written


def _name(label: str, in_quotes: bool) -> str:
    plain = re.fullmatch(r"\w[\w'.-]*", label) and label.casefold() not in NUMBER_FIELDS
    return label if plain and not in_quotes else quoted(label)
