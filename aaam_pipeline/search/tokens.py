"""Cuts the text of a query into tokens, and shows where in it an error is."""

import re
import unicodedata
from typing import NamedTuple, NoReturn
from unicodedata import normalize

from aaam_pipeline.core.errors import QuerySyntaxError
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.search import query

# characters of the query that a message shows on each side of the error
CONTEXT = 50

# quotes as keyboards and word processors write them, opening or closing: languages do not agree
QUOTES, SINGLE_QUOTES = '"“”„‟«»＂', "'‘’‚‛‹›"
WORD = rf"[^\s{QUOTES}|()<>=≥≤,;，、；&!]+"
TOKEN = re.compile(
    rf"""(?P<space>\s+)
    | (?P<exclamation>(?<=[^\s(|&,;，、；<>=\-–—−+])[!?.…]*!+[!?.…]*(?=[\s)|&,;，、；]|$) | !+[!?.…]*(?=\s*$))
    | (?P<quoted>"(?P<in_quotes>(?:[^"]|"")*)" | [{QUOTES}](?P<in_typographic>[^{QUOTES}]*)[{QUOTES}])
    | (?P<single>[{SINGLE_QUOTES}](?P<in_single>(?:[^{SINGLE_QUOTES}]|(?<=\w)['’](?=\w))+)[{SINGLE_QUOTES}](?!\w))
    | (?P<field>(?:{"|".join(query.TEXT_FIELDS)}):)
      (?:"(?P<value>[^"]*)" | [{QUOTES}](?P<value_quoted>[^{QUOTES}]*)[{QUOTES}]
        | [{SINGLE_QUOTES}](?P<value_single>[^{SINGLE_QUOTES}]*)[{SINGLE_QUOTES}](?=[\s()|]|$)
        | (?P<bare>[^\s"()|]*))
    | (?P<label>label:)
    | (?P<compare>>=|<=|==|[≥≤<>=])
    | (?P<mark>\|\|?|&&?|[()+!\-–—−])
    | (?P<separator>[,;，、；]+)
    | (?P<word>{WORD})
    | (?P<unclosed>[{QUOTES}])""",
    re.VERBOSE | re.IGNORECASE,
)
CANONICAL = {"||": "|", "&&": "&", "!": "-", "–": "-", "—": "-", "−": "-", "==": "=", "≥": ">=", "≤": "<="}
END = "end"


# what a word of a label may not begin with: it would be cut differently
_PLAIN = rf"(?![-–—−+{SINGLE_QUOTES}]|label:|(?:{'|'.join(query.TEXT_FIELDS)}):){WORD}"
PLAIN = re.compile(rf"{_PLAIN}(?:\s+{_PLAIN})*", re.IGNORECASE)


class Token(NamedTuple):
    """A piece of the text; `kind`: a group of `TOKEN` or end; after `names`: name for quoted, label and word."""

    kind: str
    text: str
    position: int
    value: str = ""
    """What follows a field."""
    value_position: int = 0
    ids: tuple[int, ...] = ()
    """The labels that a name stands for."""


def special_labels(vocabulary: Vocabulary) -> re.Pattern[str] | None:
    """Return what matches the labels that are no plain words (with a comma, bars, quotes), the longest first."""
    found = {
        normalize(form, label)
        for label in vocabulary
        if any(map(str.isalnum, label)) and not PLAIN.fullmatch(" ".join(label.split()))
        for form in ("NFC", "NFD")
    }
    if not found:
        return None
    longest_first = sorted(found, key=len, reverse=True)
    alternatives = "|".join(r"\s+".join(map(re.escape, label.split())) for label in longest_first)
    return re.compile(rf"(?:{alternatives})(?=$|[\s\"|()<>=,;&]|!+(?:$|[\s|),;&]))", re.IGNORECASE)


def tokens(text: str, labels: re.Pattern[str] | None = None) -> list[Token]:
    """Cut a query into tokens; `labels` matches those that are no plain words, and stay whole.

    Raises:
        QuerySyntaxError: a quote is not closed.
    """
    found, position = [], 0
    while position < len(text):
        if labels and (match := labels.match(text, position)):
            found.append(Token("quoted", match[0], position))
        elif match := TOKEN.match(text, position):
            if match["unclosed"]:
                fail(text, position, 'a quote is not closed; write labels of several words as "traffic light"')
            if match["space"] is None:
                found.append(_token(match))
        position = match.end() if match else len(text)
    return [*found, Token(END, "", len(text))]


def _token(match: re.Match[str]) -> Token:
    position = match.start()
    if field := match["field"]:
        group = next(name for name in ("value", "value_quoted", "value_single", "bare") if match[name] is not None)
        return Token("field", field[:-1].lower(), position, match[group], match.start(group))
    if match["quoted"]:
        typographic = match["in_typographic"]
        return Token("quoted", match["in_quotes"].replace('""', '"') if typographic is None else typographic, position)
    if match["single"]:
        return Token("quoted", match["in_single"], position)
    kind = match.lastgroup or ""
    return Token(kind, CANONICAL.get(match[0], match[0]), position)


def fail(text: str, position: int, message: str) -> NoReturn:
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
