"""The parser of the query language: one grammar (docs/search.md has it with examples), one recursive descent.

and      = or { or } ;
or       = not { "|" not } ;
not      = { "-" | "+" } operand ;
operand  = "(" and ")" | name [ compare number ] | number-field compare number | text-field ":" value ;
name     = '"' words '"' | word { word } ;          the longest run of words that is a name
compare  = ">=" | "<=" | ">" | "<" | "=" ;
"""

import re
import unicodedata
from decimal import Decimal
from functools import cache
from typing import NamedTuple, NoReturn

from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import QuerySyntaxError, UnknownLabelError, UsageError
from aaam_pipeline.formats import ranking
from aaam_pipeline.search import filters, query
from aaam_pipeline.search.query import And, Label, MetadataFilter, Node, Or, ScoreFilter
from aaam_pipeline.search.thesaurus import LabelResolver

MAX_DEPTH = 50
MAX_FILTERS = 100
# characters of the query that a message shows on each side of the error
CONTEXT = 50
# labels that a note lists
MAX_LISTED = 8

TOKEN = re.compile(
    rf"""(?P<space>\s+)
    | (?P<quoted>"[^"]*")
    | (?P<field>(?:{"|".join(query.TEXT_FIELDS)}):)(?:"(?P<in_quotes>[^"]*)"|(?P<bare>[^\s"()|]*))
    | (?P<compare>>=|<=|>|<|=)
    | (?P<mark>[|()+-])
    | (?P<word>[^\s"|()<>=]+)
    | (?P<unclosed>")""",
    re.VERBOSE | re.IGNORECASE,
)
END = "end"


class ParsedQuery(NamedTuple):
    """The meaning of a query; `notes`: which words were taken for other ones, as text for people."""

    node: Node
    notes: list[str]


class Token(NamedTuple):
    """A piece of the text; `kind`: quoted, field, compare, mark, word or end."""

    kind: str
    text: str
    position: int
    value: str = ""
    """What follows a field."""
    value_position: int = 0


def parse(text: str, resolver: LabelResolver) -> ParsedQuery:
    """Return what a query means.

    Raises:
        QuerySyntaxError: it cannot be parsed; the message shows where.
        UnknownLabelError: words are unknown; the message names them all, with the nearest labels.
        UsageError: it is empty, or names too much.
    """
    try:
        # bytes that are not UTF-8 come from the command line as lone surrogates; paths are stored in this form
        text = path_text(text)
    except UnicodeEncodeError:
        raise UsageError(f"the query {text!r} holds half a character") from None
    parser = _Parser(text, resolver)
    if parser.token.kind == END:
        raise UsageError('the query is empty; name one or more labels, as in "football grass"')
    node = parser.conjunction(0)
    if parser.token.kind != END:
        parser.fail("no parenthesis is open here")
    if parser.unknown:
        raise UnknownLabelError("; ".join(resolver.unknown(word) for word in parser.unknown))
    labels = query.degree(node)
    conditions = len(query.leaves(node)) - labels
    if labels > ranking.MAX_DEGREE or conditions > MAX_FILTERS:
        raise UsageError(
            f"the query comes to {labels} labels and {conditions} filters; at most {ranking.MAX_DEGREE} and "
            f"{MAX_FILTERS} can be asked for at once"
        )
    return ParsedQuery(node, list(parser.notes))


def tokens(text: str) -> list[Token]:
    """Cut a query into tokens.

    Raises:
        QuerySyntaxError: a quote is not closed.
    """
    found = []
    for match in TOKEN.finditer(text):
        # of a field, the group of its value
        kind, position = match.lastgroup or "", match.start()
        if kind == "unclosed":
            _fail(text, position, 'a quote is not closed; write labels of several words as "traffic light"')
        if field := match["field"]:
            found.append(Token("field", field[:-1].lower(), position, match[kind], match.start(kind)))
        elif kind != "space":
            found.append(Token(kind, match[kind].strip('"') if kind == "quoted" else match[kind], position))
    return [*found, Token(END, "", len(text))]


class _Parser:
    """Reads tokens from the left; every method leaves `at` at the first token that it has not read."""

    def __init__(self, text: str, resolver: LabelResolver) -> None:
        self.text, self.resolver = text, resolver
        self.tokens = tokens(text)
        self.at = 0
        # where every word is a label, only labels can be names of several words
        plain = all(token.text in resolver.vocabulary for token in self.tokens if token.kind == "word")
        self.longest = resolver.vocabulary.longest if plain else resolver.longest
        self.unknown: dict[str, None] = {}
        self.notes: dict[str, None] = {}
        # a long query may repeat a word a thousand times
        self._ids = cache(resolver.find)

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def conjunction(self, depth: int) -> Node:
        items = [self.disjunction(depth)]
        while self.token.kind != END and self.token[:2] != ("mark", ")"):
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
        if start.kind not in ("word", "quoted", "field"):
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
            _fail(self.text, opening.position, "this parenthesis is not closed")
        return inside

    def _named(self) -> Node:
        """Read a label, or a comparison with a label or a number of the image."""
        start = self.token
        if start.kind == "word" and start.text.lower() in query.NUMBER_FIELDS and self._compares(1):
            self.at += 1
            operator, value = self._comparison(start.text.lower())
            return MetadataFilter(start.text.lower(), operator, value)
        ids, length = self._longest()
        self.at += length
        if not self._compares(0):
            return query.joined(Or, [Label(id) for id in ids])
        operator, value = self._comparison("")
        # of a parent: one of its children is at least, all of them are at most
        return query.joined(And if "<" in operator else Or, [ScoreFilter(id, operator, value) for id in ids])

    def _longest(self) -> tuple[tuple[int, ...], int]:
        """Return the labels that the longest name from here stands for, and the number of its tokens."""
        words, vocabulary = [self.token.text], self.resolver.vocabulary
        if self.token.kind == "word":
            run = self.tokens[self.at : self.at + self.longest]
            words = [word.text for word in run[: next((n for n, t in enumerate(run) if t.kind != "word"), None)]]
        for length in range(len(words), 0, -1):
            name = " ".join(" ".join(words[:length]).split())
            # `palm tree` is two labels where both are, whatever else it might be taken for
            apart = length > 1 and name not in vocabulary and all(word in vocabulary for word in words[:length])
            if not apart and (ids := self._find(name)):
                return ids, length
        self.unknown[words[0]] = None
        # the parser continues with any label, so that all unknown words are named
        return (0,), 1

    def _find(self, name: str) -> tuple[int, ...]:
        ids = self._ids(name)
        vocabulary = self.resolver.vocabulary
        if ids and name not in vocabulary:
            more = f"... ({len(ids)} labels)" if len(ids) > MAX_LISTED else ""
            taken = "|".join(vocabulary.labels[id] for id in ids[:MAX_LISTED])
            self.notes[f"{name} is searched as {taken}{more}"] = None
        return ids

    def _compares(self, ahead: int) -> bool:
        return self.tokens[self.at + ahead].kind == "compare"

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
            _fail(self.text, position, str(error))

    def _take(self, kind: str, text: str) -> bool:
        taken = self.token[:2] == (kind, text)
        self.at += taken
        return taken

    def fail(self, message: str) -> NoReturn:
        _fail(self.text, self.token.position, message)


def _fail(text: str, position: int, message: str) -> NoReturn:
    """Raise a syntax error that shows the text around a position, and a caret under it."""
    before, after = text[max(0, position - CONTEXT) : position], text[position : position + CONTEXT]
    before = "..." * (position > CONTEXT) + _printable(before)
    after = _printable(after) + "..." * (position + CONTEXT < len(text))
    raise QuerySyntaxError(f"{message}\n  {before}{after}\n  {' ' * _width(before)}^")


def _printable(text: str) -> str:
    """Return a text on one line in which every character is visible."""
    return "".join(" " if each.isspace() else each if each.isprintable() else "\ufffd" for each in text)


def _width(text: str) -> int:
    """Return how many columns a terminal needs for a text: two for a wide character, none for a combining one."""
    # Rich has the same, but is loaded by `cli` alone
    return sum(
        0 if unicodedata.combining(each) or unicodedata.category(each) in ("Mn", "Me") else
        2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )  # fmt: skip
