"""What a query is once it is understood: a tree of these. Structs, not tuples: those of two kinds are never equal."""

from datetime import datetime

from msgspec import Struct


class Label(Struct, frozen=True):
    """The probability of a label."""

    id: int


class Every(Struct, frozen=True):
    """All of them: the product."""

    parts: "tuple[Node, ...]"


class Any(Struct, frozen=True):
    """One of them: the probability of the union, as if they were independent."""

    parts: "tuple[Node, ...]"


class Not(Struct, frozen=True):
    """One minus it."""

    part: "Node"


class Score(Struct, frozen=True):
    """A filter: the probability of a label, compared with a number."""

    id: int
    compare: str
    value: float


class Fact(Struct, frozen=True):
    """A filter: `width`, `height`, `bytes` or `mtime` compared with a number or a moment (UTC)."""

    name: str
    compare: str
    value: "float | datetime"


class Glob(Struct, frozen=True):
    """A filter: `path` or `root` matches a pattern in which `*` also stands for `/`."""

    name: str
    pattern: str


Node = Label | Every | Any | Not | Score | Fact | Glob


def labels(node: Node) -> list[int]:
    """Return the ids of the labels whose probability an expression's score depends on, each once, in order."""
    if isinstance(node, Label):
        return [node.id]
    parts = node.parts if isinstance(node, Every | Any) else (node.part,) if isinstance(node, Not) else ()
    return list(dict.fromkeys(id for part in parts for id in labels(part)))


def degree(node: Node) -> int:
    """Return how many probabilities are multiplied in an expression's score."""
    if isinstance(node, Every | Any):
        return sum(degree(part) for part in node.parts)
    return degree(node.part) if isinstance(node, Not) else int(isinstance(node, Label))
