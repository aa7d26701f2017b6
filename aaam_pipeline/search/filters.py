"""Filters on the metadata of images: from the text of a value (a number, a size, a date, a pattern) to SQL.

Fields are names of this file; everything else that a user typed is a parameter or a number.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from aaam_pipeline.core.text import nfc
from aaam_pipeline.search.query import TO_INTEGER, MetadataFilter

Value = TypeVar("Value")
Parse = Callable[[str, str], Value]
"""Parses the text of a field's value; ValueError says what is wrong with it."""

NUMBER = re.compile(r"(\d{1,28}(?:\.\d{0,15})?|\.\d{1,15})([a-z]*)", re.IGNORECASE | re.ASCII)
DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", re.ASCII)
YEAR = re.compile(r"((?:19|20)\d\d)(?:-(\d{1,2})(?:-(\d{1,2}))?)?", re.ASCII)
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
UNITS = {"": 1, "b": 1} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("kmgt", 1)
    for ending, base in (("", 1000), ("b", 1000), ("ib", 1024))
}
MAX_CHARACTERS = 1000
# as many as a Decimal keeps, so that a number that was read can be written and read again
DIGITS = 28
DATE_COLUMN = "coalesce(captured_at, mtime)"
"""What `after:` and `before:` compare: when the photograph was taken, by the camera's clock, or else when the file was
last changed, in UTC."""
# larger than any value of the columns, and still a 64-bit integer
MAX_INTEGER = 2**62


def parse_number(field: str, text: str) -> Decimal:
    """Parse the number that a field is compared with; no field: the probability of a label.

    Raises:
        ValueError: it is none, or has no meaning there.
    """
    match = NUMBER.fullmatch(text)
    if field == "bytes":
        if not match or match[2].lower() not in UNITS:
            raise ValueError("this is no size; write 2MB, 500kB, 1.5GiB or a number of bytes")
        size = Decimal(match[1]) * UNITS[match[2].lower()]
        if size >= Decimal(10) ** DIGITS:
            raise ValueError("no file is that large")
        return _plain(size)
    if not match or match[2]:
        raise ValueError("this is no number")
    value = _plain(Decimal(match[1]))
    if not field and value > 1:
        raise ValueError("a label's probability lies between 0 and 1")
    return value


def parse_text(field: str, text: str) -> str | date:
    """Parse what stands behind `path:`, `root:`, `after:`, `before:` or `unfamiliar:`.

    Raises:
        ValueError: it is missing, too long, no date where one is wanted, or neither yes nor no.
    """
    if not text:
        raise ValueError(f"{field}: needs a value directly behind it")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a pattern may have {MAX_CHARACTERS} characters, not {len(text)}")
    if field in ("path", "root"):
        return text
    if field == "unfamiliar":
        if text.casefold() not in ("yes", "no"):
            raise ValueError("unfamiliar: is followed by yes or no")
        return text.casefold()
    match = DATE.fullmatch(text)
    try:
        if match:
            return date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
    except ValueError:
        pass
    raise ValueError("this is no date; write 2024, 2024-05 or 2024-05-01")


def dates(words: Iterable[str]) -> str:
    """Return the filters for the day, month or year that words name (`july 2019`, `2019-07-14`), or ""."""
    year = month = day = 0
    for word in map(str.casefold, words):
        named = next((n for n, name in enumerate(MONTHS, 1) if len(word) > 2 and name.startswith(word)), 0)
        if match := YEAR.fullmatch(word):
            year, month, day = int(match[1]), int(match[2] or month), int(match[3] or day)
        elif named:
            month = named
        elif re.fullmatch(r"\d{1,2}", word, re.ASCII):
            day = int(word)
    try:
        first = date(year, month or 1, day if month and day else 1)
    except ValueError:
        return ""
    if month and day:
        return f"after:{first} before:{first + timedelta(days=1)}"
    if month:
        return f"after:{first:%Y-%m} before:{first + timedelta(days=31):%Y-%m}"
    return f"after:{year} before:{year + 1}"


def _plain(value: Decimal) -> Decimal:
    """Return a number without the zeros and the point that it does not need."""
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()


def condition(node: MetadataFilter) -> tuple[str, list[object]]:
    """Return a filter as SQL with `$1`, and the value of that. What is not known is null: not true."""
    match node.field, node.value:
        case ("width" | "height" | "bytes") as field, Decimal() as value:
            return _comparison(field, node.operator, Fraction(value)), []
        case ("path" | "root") as field, str() as pattern:
            # names stay as they are on disk, which may be a Mac's
            return f"nfc_normalize({field}) LIKE $1 ESCAPE '^'", [_like(nfc(pattern))]
        case "after", date() as day:
            return f"{DATE_COLUMN} >= $1::DATE::TIMESTAMP", [day]
        case "before", date() as day:
            return f"{DATE_COLUMN} < $1::DATE::TIMESTAMP", [day]
        case "unfamiliar", ("yes" | "no") as answer:
            return "unfamiliar" if answer == "yes" else "NOT unfamiliar", []
        case _:
            raise TypeError(f"no filter: {node}")


def _comparison(column: str, operator: str, value: Fraction) -> str:
    """Return the condition that compares a column of integers with a number."""
    if operator == "=" and value.denominator > 1:
        return "false"
    return f"{column} {operator} {min(TO_INTEGER[operator](value), MAX_INTEGER)}"


def _like(pattern: str) -> str:
    """Return a pattern with * and ? as one for LIKE, in which ^ is the escape."""
    return "".join({"*": "%", "?": "_"}.get(each, f"^{each}" if each in "%_^" else each) for each in pattern)
