"""The query language: one grammar, one parser. docs/search.md explains it to users.

query    = any { any }                         all of them must hold
any      = term { "|" term }                   one of them suffices; binds tighter than the space
term     = [ "-" | "+" ] ( "(" query ")" | fact | label [ compare number ] )
fact     = ( "width" | "height" | "bytes" ) compare number | ( "path:" | "root:" ) glob | ( "after:" | "before:" ) date
label    = words that together are a label, a synonym or a parent (the longest first), or words in quotes
compare  = ">=" | "<=" | ">" | "<" | "="
"""

import re
from datetime import datetime
from typing import NamedTuple, NoReturn

from aaam_pipeline.core.errors import QueryError, UnknownLabelError, UsageError
from aaam_pipeline.core.vocabulary import Vocabulary
from aaam_pipeline.core.words import Words
from aaam_pipeline.search.nodes import Any, Every, Fact, Glob, Label, Node, Not, Score, degree

# the product of more bytes than this would leave the range of a double
MOST_LABELS = 100
DEEPEST = 50
NUMBERS = ("width", "height", "bytes")
GLOBS = ("path", "root")
DATES = ("after", "before")
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
EMPTY = 'the query is empty; name one or more labels, as in "football grass"'

TOKEN = re.compile(
    r"""\s+
    | (?P<fact>(?:path|root|after|before):) (?: "(?P<quoted_value>[^"]*)" | (?P<value>[^\s"()|]*) )
    | "(?P<quoted>[^"]*)"
    | (?P<compare>>=|<=|>|<|=)
    | (?P<mark>[()|])
    | (?P<sign>[-+](?=[^\s|)]))
    | (?P<word>[^\s"()|<>=]+)
    | (?P<open>")""",
    re.VERBOSE | re.IGNORECASE,
)


class Query(NamedTuple):
    """A query understood. `terms`: what must hold, with the text of each; `taken`: words searched as other labels."""

    terms: tuple[tuple[str, Node], ...]
    taken: dict[str, str]

    @property
    def root(self) -> Every:
        """The whole expression."""
        return Every(tuple(node for _, node in self.terms))


def parse(text: str, vocabulary: Vocabulary, words: Words | None = None) -> Query:
    """Understand a query.

    Raises:
        QueryError: it does not follow the grammar; the error knows the place.
        UsageError: it is empty, or names more labels than a score can hold.
        UnknownLabelError: words are not labels; the message names them all, with the nearest labels.
    """
    return _Parser(text, vocabulary, words or Words.shipped()).parse()


class _Token(NamedTuple):
    kind: str
    text: str
    place: int
    end: int


def _tokens(text: str) -> list[_Token]:
    found, place = [], 0
    while place < len(text):
        match = TOKEN.match(text, place)
        assert match is not None
        groups = {name: value for name, value in match.groupdict().items() if value is not None}
        # a sign is one only where a term can begin: the hyphen of t-shirt is a letter (and `word` has taken it)
        if "open" in groups:
            raise QueryError('a quote is not closed; write labels of several words as "traffic light"', text, place)
        if "fact" in groups:
            value = groups.get("quoted_value", groups.get("value", ""))
            found.append(_Token(groups["fact"].casefold()[:-1], value, place, match.end()))
        elif groups:
            ((kind, value),) = groups.items()
            found.append(_Token(value if kind == "mark" else kind, value, place, match.end()))
        place = match.end()
    return found


class _Parser:
    def __init__(self, text: str, vocabulary: Vocabulary, words: Words) -> None:
        self._text, self._vocabulary, self._words = text, vocabulary, words
        self._tokens, self._next, self._depth = _tokens(text), 0, 0
        self._unknown: dict[str, None] = {}
        self._taken: dict[str, str] = {}
        self._longest = max(words.longest, *(len(label.split()) for label in vocabulary))

    def parse(self) -> Query:
        if not self._tokens:
            raise UsageError(EMPTY)
        terms = self._terms()
        if self._next < len(self._tokens):
            self._fail("nothing is open that this could close")
        if self._unknown:
            raise UnknownLabelError("; ".join(map(self._vocabulary.unknown, self._unknown)))
        # what is named twice counts once
        once = tuple({node: (text, node) for text, node in reversed(terms)}.values())[::-1]
        count = sum(degree(node) for _, node in once)
        if count > MOST_LABELS:
            raise UsageError(f"the query names {count} labels; at most {MOST_LABELS} can be asked for at once")
        return Query(once, self._taken)

    def _terms(self) -> list[tuple[str, Node]]:
        found = []
        while self._kind() not in ("", ")"):
            first = self._tokens[self._next].place
            node = self._any()
            found.append((self._text[first : self._tokens[self._next - 1].end].strip(), node))
        return found

    def _any(self) -> Node:
        parts = [self._term()]
        while self._kind() == "|":
            self._next += 1
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else Any(tuple(dict.fromkeys(parts)))

    def _term(self) -> Node:
        kind = self._kind()
        if kind == "sign":
            return self._signed()
        if kind == "(":
            return self._grouped()
        if kind in GLOBS:
            return Glob(kind, self._value("a pattern, as in path:holiday/*"))
        if kind in DATES:
            return Fact("mtime", ">=" if kind == "after" else "<", self._moment())
        if kind not in ("word", "quoted"):
            self._fail("a label is missing here")
        following = self._kind(1)
        if kind == "word" and following == "compare" and self._tokens[self._next].text.casefold() in NUMBERS:
            name = self._tokens[self._next].text.casefold()
            self._next += 1
            return Fact(name, *self._comparison())
        return self._label()

    def _signed(self) -> Node:
        """Read a term with a sign before it, or several: they are nested, so there may not be too many."""
        negative = self._tokens[self._next].text == "-"
        self._deeper()
        self._next += 1
        node = self._term()
        self._depth -= 1
        return Not(node) if negative else node

    def _grouped(self) -> Node:
        opened = self._next
        self._deeper()
        self._next += 1
        terms = self._terms()
        self._depth -= 1
        if self._kind() != ")":
            self._fail("this parenthesis is not closed", opened)
        if not terms:
            self._fail("there is nothing in this parenthesis", opened)
        self._next += 1
        parts = tuple(dict.fromkeys(node for _, node in terms))
        return parts[0] if len(parts) == 1 else Every(parts)

    def _label(self) -> Node:
        """Take the longest run of words that means something, or what is in quotes."""
        first = self._next
        if self._kind() == "quoted":
            candidates = [1]
        else:
            run = 1
            while run < self._longest and self._kind(run) == "word":
                run += 1
            candidates = list(range(run, 0, -1))
        for count in candidates:
            name = " ".join(token.text for token in self._tokens[first : first + count])
            ids = self._words.find(name, self._vocabulary)
            if ids:
                self._next += count
                return self._meant(name, ids)
        self._next += 1
        self._unknown.setdefault(self._tokens[first].text)
        if self._kind() == "compare":
            self._comparison()
        return Label(0)

    def _meant(self, name: str, ids: list[int]) -> Node:
        shown = [self._vocabulary.labels[id] for id in ids]
        if [label.casefold() for label in shown] != [name.casefold()]:
            self._taken[name] = ", ".join(shown)
        if self._kind() == "compare":
            compare, value = self._comparison()
            parts = tuple[Node, ...](Score(id, compare, value) for id in ids)
        else:
            parts = tuple(Label(id) for id in ids)
        return parts[0] if len(parts) == 1 else Any(parts)

    def _comparison(self) -> tuple[str, float]:
        compare = self._tokens[self._next].text
        self._next += 1
        if self._kind() != "word":
            self._fail(f"a number is missing after {compare}")
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)([kmg]?)b?", self._tokens[self._next].text.casefold())
        if not match:
            self._fail("this is not a number, as 0.8, 1000 or 2MB")
        self._next += 1
        return compare, float(match[1]) * UNITS[match[2]]

    def _value(self, wanted: str) -> str:
        value = self._tokens[self._next].text
        if not value:
            self._fail(f"after the colon comes {wanted}")
        self._next += 1
        return value

    def _moment(self) -> datetime:
        text = self._tokens[self._next].text
        for form in ("%Y-%m-%d", "%Y-%m", "%Y"):
            try:
                found = datetime.strptime(text, form)
            except ValueError:
                continue
            self._next += 1
            return found
        return self._fail("this is not a date, as 2024-05-01, 2024-05 or 2024")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail(f"more than {DEEPEST} parentheses or signs inside each other")

    def _kind(self, ahead: int = 0) -> str:
        place = self._next + ahead
        return self._tokens[place].kind if place < len(self._tokens) else ""

    def _fail(self, message: str, token: int | None = None) -> NoReturn:
        number = self._next if token is None else token
        place = self._tokens[number].place if number < len(self._tokens) else len(self._text)
        raise QueryError(message, self._text, place)
