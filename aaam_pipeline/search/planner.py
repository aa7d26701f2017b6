"""From a query to SQL: one expression for an image's score, with whatever a user typed as a parameter.

The score of a label is its stored byte / 255; of "all of them" the product; of "one of them" 1 - (1 - a)(1 - b); of
"not" 1 - a; of a filter 1 or 0. While at most six bytes are multiplied this is computed in whole numbers, which a
double holds exactly: with T = 255, a score of n labels is a number up to T^n. So scores that are equal are equal, in
whatever order their factors come, and ties go by path. Beyond six, T is 1 and the bytes are divided first.
"""

from datetime import datetime
from typing import NamedTuple

from aaam_pipeline.core.ranking import LEVELS
from aaam_pipeline.search.nodes import Any, Every, Fact, Glob, Label, Node, Not, Score, degree, labels
from aaam_pipeline.search.query import Query

# 255^6 < 2^53
EXACT = 6

Value = str | float | datetime


class Expression(NamedTuple):
    """SQL with `?` for its values; `top`: the score that stands for 1."""

    sql: str
    values: tuple[Value, ...]
    top: float


class Plan(NamedTuple):
    """The statement that ranks the images: `score` of each, `top` for 1, then the stored bytes of `labels`."""

    sql: str
    values: tuple[Value, ...]
    top: float
    labels: list[int]


def plan(query: Query, top: int) -> Plan:
    """Return the statement for the `top` best images of a query; ties go by path."""
    score = expression(query.root, _scale(query))
    ids = labels(query.root)
    # what is certain to be no hit is left out before anything is computed
    held = [f"s{node.id} > 0" for _, node in query.terms if isinstance(node, Label)] or ["true"]
    columns = "".join(f", s{id}" for id in ids)
    # the statement's text: numbers of labels and the names of columns alone
    sql = (
        f"SELECT id, score{columns} FROM (SELECT scores.id, place{columns}, {score.sql} AS score "
        f"FROM {_tables(query.root)} WHERE {' AND '.join(held)}) WHERE score > 0 "
        f"ORDER BY score DESC, place LIMIT {int(top)}"
    )
    return Plan(sql, score.values, score.top, ids)


def explain(query: Query, ids: list[int]) -> tuple[str, tuple[Value | list[int], ...], list[float]]:
    """Return the statement for what each term of a query gives for some images, its values, and what stands for 1."""
    parts = [expression(node, _scale(query)) for _, node in query.terms]
    columns = ", ".join(part.sql for part in parts)
    sql = f"SELECT scores.id, {columns} FROM {_tables(query.root)} WHERE scores.id IN (SELECT unnest(?))"
    return sql, (*(value for part in parts for value in part.values), ids), [part.top for part in parts]


def expression(node: Node, scale: int) -> Expression:
    """Return an expression's score in SQL; a probability is a number up to `scale`."""
    if isinstance(node, Label):
        return Expression(f"s{node.id}::DOUBLE" + ("" if scale == LEVELS else f" / {LEVELS}"), (), scale)
    if isinstance(node, Not):
        inner = expression(node.part, scale)
        return Expression(f"({inner.top:.0f}::DOUBLE - {inner.sql})", inner.values, inner.top)
    if isinstance(node, Every | Any):
        parts = [expression(part, scale) for part in node.parts]
        top = 1.0
        for part in parts:
            top *= part.top
        values = tuple(value for part in parts for value in part.values)
        if isinstance(node, Every):
            return Expression(f"({' * '.join(part.sql for part in parts)})", values, top)
        missed = " * ".join(f"({part.top:.0f}::DOUBLE - {part.sql})" for part in parts)
        return Expression(f"({top:.0f}::DOUBLE - {missed})", values, top)
    return _filter(node)


def _filter(node: Score | Fact | Glob) -> Expression:
    # what is not known of an image is not fulfilled by it
    if isinstance(node, Score):
        # compared as it is shown, with six decimals: 0.8 is met by the byte 204
        condition, value = f"round(s{node.id} / {LEVELS}, 6) {node.compare} round(?, 6)", node.value
        return Expression(f"({condition})::INTEGER::DOUBLE", (value,), 1)
    if isinstance(node, Fact):
        kind = "TIMESTAMP" if isinstance(node.value, datetime) else "DOUBLE"
        return Expression(f"coalesce({node.name} {node.compare} ?::{kind}, false)::INTEGER::DOUBLE", (node.value,), 1)
    return Expression(f"({node.name} GLOB ?)::INTEGER::DOUBLE", (node.pattern,), 1)


def _scale(query: Query) -> int:
    return LEVELS if degree(query.root) <= EXACT else 1


def _tables(node: Node) -> str:
    return "scores JOIN images USING (id)" if _needs_facts(node) else "scores"


def _needs_facts(node: Node) -> bool:
    if isinstance(node, Every | Any):
        return any(_needs_facts(part) for part in node.parts)
    return _needs_facts(node.part) if isinstance(node, Not) else isinstance(node, Fact | Glob)
