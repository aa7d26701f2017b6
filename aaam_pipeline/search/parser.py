"""The parser of the query language: one grammar (docs/search.md has it with examples), one recursive descent.

and      = or { [ "&" ] or } ;
or       = not { "|" not } ;
not      = { "-" | "+" } operand ;
operand  = "(" and ")" | name [ compare number ] | number-field compare number | text-field ":" value ;
compare  = ">=" | "<=" | ">" | "<" | "=" ;

`tokens` cuts the text, and `names` tells what its words are.
"""

import shlex
from decimal import Decimal
from typing import NamedTuple, NoReturn

from aaam_pipeline.core.artifacts import argument_text
from aaam_pipeline.core.errors import UnknownLabelError, UsageError
from aaam_pipeline.formats import ranking
from aaam_pipeline.search import filters, names, query, tokens
from aaam_pipeline.search.query import And, Label, MetadataFilter, Node, Or
from aaam_pipeline.search.thesaurus import LabelResolver
from aaam_pipeline.search.tokens import END, Token

MAX_DEPTH = 50
MAX_FILTERS = 100
# of a query that a message proposes
LONGEST_HINT = 200
FIELDS = (*(f"{field}:" for field in (*query.TEXT_FIELDS, "label")), *query.NUMBER_FIELDS)


class ParsedQuery(NamedTuple):
    """The meaning of a query; `notes`: which words were taken for other ones or are known badly, as text for people."""

    node: Node
    notes: list[str]


def parse(text: str, resolver: LabelResolver) -> ParsedQuery:
    """Return what a query means.

    Raises:
        QuerySyntaxError: it cannot be parsed; the message shows where.
        UnknownLabelError: words are unknown; the message names them all, with the nearest labels.
        UsageError: it is empty, or names too much.
    """
    try:
        # bytes that are not UTF-8 come from the command line as lone surrogates; paths are stored in this form
        text = argument_text(text)
    except UnicodeEncodeError:
        raise UsageError(f"the query {text!r} holds half a character") from None
    if not text.strip():
        raise UsageError('the query is empty; name one or more labels, as in "football grass"')
    named = names.told(text, tokens.tokens(text, resolver.special), resolver)
    parser = _Parser(text, named.tokens)
    if parser.token.kind == END:
        raise UsageError("the query names no label, only what is left out; the labels are listed by aaam-pipe labels")
    node = parser.conjunction(0)
    if parser.token.kind != END:
        parser.fail("no parenthesis is open here")
    if named.unknown:
        fields = f". Fields: {', '.join(FIELDS)}" if any(":" in word for word in named.unknown) else ""
        raise UnknownLabelError("; ".join(map(resolver.unknown, named.unknown)) + fields + _instead(named, resolver))
    labels = query.degree(node)
    conditions = len(query.leaves(node)) - labels
    if labels > ranking.MAX_DEGREE or conditions > MAX_FILTERS:
        raise UsageError(
            f"the query comes to {labels} labels and {conditions} filters; at most {ranking.MAX_DEGREE} and "
            f"{MAX_FILTERS} can be asked for at once"
        )
    return ParsedQuery(node, named.notes)


def _instead(named: names.NamedQuery, resolver: LabelResolver) -> str:
    """Return the command that searches for the words that are known, dates as filters; "" if none are left."""
    dates = filters.dates(named.unknown)
    known = " ".join(filter(None, [named.known, dates]))
    try:
        parse(known, resolver)
    except UsageError:
        return ""
    if len(known) > LONGEST_HINT or not known.isprintable():
        return ""
    how = "with dates as filters" if dates else "without it" if len(named.unknown) == 1 else "without them"
    return f"; {how}: aaam-pipe search {shlex.quote(known)}"


class _Parser:
    """Reads tokens from the left; every method leaves `at` at the first token that it has not read."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text, self.tokens = text, tokens
        self.at = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def conjunction(self, depth: int) -> Node:
        items = [self.disjunction(depth)]
        while self.token.kind != END and self.token[:2] != ("mark", ")"):
            self._take("mark", "&")
            items.append(self.disjunction(depth))
        return query.joined(And, items)

    def disjunction(self, depth: int) -> Node:
        items = [self.operand(depth)]
        while self._take("mark", "|"):
            items.append(self.operand(depth))
        return query.joined(Or, items)

    def operand(self, depth: int) -> Node:
        """Read an operand with the signs before it."""
        negative = False
        while self.token.kind == "mark" and self.token.text in "+-":
            negative ^= self.token.text == "-"
            self.at += 1
        item = self._operand(depth)
        return query.negated(item) if negative else item

    def _operand(self, depth: int) -> Node:
        start = self.token
        if start[:2] == ("mark", "("):
            return self._parenthesis(depth)
        if start.kind not in ("word", "name", "field"):
            what = "label, width, height or bytes" if start.kind == "compare" else "label"
            self.fail(f"a {what} is missing here")
        if start.kind != "field":
            return self._named()
        self.at += 1
        return MetadataFilter(
            start.text, ":", self._checked(filters.parse_text, start.text, start.value, start.value_position)
        )

    def _parenthesis(self, depth: int) -> Node:
        opening = self.token
        if depth >= MAX_DEPTH:
            self.fail(f"parentheses are nested deeper than {MAX_DEPTH}")
        self.at += 1
        if self.token[:2] == ("mark", ")"):
            self.fail("a label is missing in the parentheses")
        inside = self.conjunction(depth + 1)
        if not self._take("mark", ")"):
            tokens.fail(self.text, opening.position, "this parenthesis is not closed")
        return inside

    def _named(self) -> Node:
        """Read a label, or a comparison with a label or a number of the image."""
        start = self.token
        self.at += 1
        if start.kind == "word":
            operator, value = self._comparison(start.text.lower())
            return MetadataFilter(start.text.lower(), operator, value)
        # an unknown word has no label: it is refused when all are found
        ids = start.ids or (0,)
        if self.token.kind != "compare":
            return query.joined(Or, [Label(id) for id in ids])
        operator, value = self._comparison("")
        return query.filters_of(ids, operator, value)

    def _comparison(self, field: str) -> tuple[str, Decimal]:
        operator = self.token.text
        self.at += 1
        token = self.token
        if token.kind != "word":
            self.fail("a number is missing here")
        self.at += 1
        return operator, self._checked(filters.parse_number, field, token.text, token.position)

    def _checked(self, parse: filters.Parse[filters.Value], field: str, text: str, position: int) -> filters.Value:
        try:
            return parse(field, text)
        except ValueError as error:
            tokens.fail(self.text, position, str(error))

    def _take(self, kind: str, text: str) -> bool:
        taken = self.token[:2] == (kind, text)
        self.at += taken
        return taken

    def fail(self, message: str) -> NoReturn:
        tokens.fail(self.text, self.token.position, message)
