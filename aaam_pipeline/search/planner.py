"""From the tree of a query to SQL: what `core.ranking` defines, over the columns of an index.

Labels are column numbers and fields are names of this file; everything else that a user typed is a parameter. The score
of an expression is its whole number, a DOUBLE; `core.ranking` says how it is computed.
"""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from aaam_pipeline.core import ranking
from aaam_pipeline.search.query import All, Any, FactFilter, Label, Node, Not, ScoreFilter, labels

DATE = "coalesce(images.taken, images.mtime)"
"""What `after:` and `before:` compare: when the photograph was taken, by the camera's clock, or else when the file was
last changed, in UTC."""
COMPARED = {"width", "height", "bytes"}
MATCHED = {"path", "root"}
# beyond what a column of 64 bits holds
MOST = 2**62


class Plan(NamedTuple):
    """A query as SQL over `source`; `values` are its parameters, `$1` and on."""

    source: str
    condition: str
    """Which images are hits: those with a score above 0."""
    filters: list[str]
    """The part of `condition` that no score says: what the filters ask."""
    score: str
    degree: int
    labels: list[int]
    terms: list[tuple[Node, str, int]]
    """The factors of the score, each with its own score and degree."""
    values: list[object]


def plan(node: Node) -> Plan:
    """Return a query as SQL: the facts of the images are only read where a filter needs them."""
    writer = _Writer()
    terms = [(item, writer.score(item), degree(item)) for item in (node.items if isinstance(node, All) else (node,))]
    # a filter at the top only chooses: it is no factor
    factors = [score for item, score, _ in terms if not isinstance(item, ScoreFilter | FactFilter)]
    filters = [writer.holds(item) for item, _, _ in terms if isinstance(item, ScoreFilter | FactFilter)]
    return Plan(
        source="scores JOIN images USING (id)" if writer.facts else "scores",
        condition=" AND ".join(writer.holds(item) for item, _, _ in terms),
        filters=filters,
        score=" * ".join(factors) or "1e0",
        degree=degree(node),
        labels=labels(node),
        terms=terms,
        values=list(writer.values),
    )


def degree(node: Node) -> int:
    """Return how many labels an expression has, filters not counted: its score is N / 255^degree."""
    match node:
        case Label():
            return 1
        case Not(item):
            return degree(item)
        case All(items) | Any(items):
            return sum(map(degree, items))
        case ScoreFilter() | FactFilter():
            return 0


class _Writer:
    """Writes expressions as SQL and keeps their parameters."""

    def __init__(self) -> None:
        self.values: dict[object, int] = {}
        self.facts = False

    def holds(self, node: Node) -> str:
        """Return the condition that an expression's score is above 0."""
        match node:
            case Label(id):
                return f"s{id} > 0"
            case ScoreFilter():
                return _score_filter(node)
            case FactFilter():
                return self._fact_filter(node)
            case _:
                return f"{self.score(node)} > 0"

    def score(self, node: Node) -> str:
        """Return the whole number of an expression."""
        match node:
            case Label(id):
                return f"s{id}::DOUBLE"
            case ScoreFilter() | FactFilter():
                return f"({self.holds(node)})::DOUBLE"
            case Not():
                return self._rest(node.item)
            case All(items):
                return f"({' * '.join(map(self.score, items))})"
            case Any(items):
                return f"({_whole(degree(node))} - {' * '.join(map(self._rest, items))})"

    def _rest(self, node: Node) -> str:
        """Return what is missing from an expression's score to certainty."""
        return f"({_whole(degree(node))} - {self.score(node)})"

    def _fact_filter(self, node: FactFilter) -> str:
        self.facts = True
        match node.field, node.value:
            case ("width" | "height" | "bytes") as field, Decimal() as value:
                condition = _compare(f"images.{field}", node.operator, Fraction(value))
            case ("path" | "root") as field, str() as pattern:
                condition = f"images.{field} LIKE {self._parameter(_like(pattern))} ESCAPE '^'"
            case ("after" | "before") as field, date() as day:
                comparison = ">=" if field == "after" else "<"
                condition = f"{DATE} {comparison} {self._parameter(day)}::DATE::TIMESTAMP"
            case _:
                raise TypeError(f"no filter: {node}")
        # a fact that is not known fits no filter
        return f"coalesce({condition}, false)"

    def _parameter(self, value: object) -> str:
        return f"${self.values.setdefault(value, len(self.values) + 1)}"


def _whole(degree: int) -> str:
    return f"{ranking.whole(degree):.17e}"


def _score_filter(node: ScoreFilter) -> str:
    code = Fraction(node.value) * ranking.LEVELS
    # few numbers are exactly the probability of a code: equal to one is what is stored for it
    return _compare(f"s{node.label}", node.operator, Fraction(round(code)) if node.operator == "=" else code)


def _compare(column: str, operator: str, value: Fraction) -> str:
    """Return the condition that a column of whole numbers compares like this."""
    match operator:
        case ">=":
            return f"{column} >= {min(ceil(value), MOST)}"
        case ">":
            return f"{column} > {min(floor(value), MOST)}"
        case "<=":
            return f"{column} <= {min(floor(value), MOST)}"
        case "<":
            return f"{column} < {min(ceil(value), MOST)}"
        case _:
            return f"{column} = {min(floor(value), MOST)}" if value.denominator == 1 else "false"


def _like(pattern: str) -> str:
    """Return a pattern with * and ? as one for LIKE, in which ^ is the escape."""
    return "".join({"*": "%", "?": "_"}.get(each, f"^{each}" if each in "%_^" else each) for each in pattern)
