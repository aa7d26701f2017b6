"""From a filter on the metadata of an image to SQL: a condition over the table `images`, and its parameter.

Fields are names of this file; everything else that a user typed is a parameter or a number.
"""

from datetime import date
from decimal import Decimal
from fractions import Fraction

from aaam_pipeline.search.query import TO_INTEGER, MetadataFilter

DATE = "coalesce(taken, mtime)"
"""What `after:` and `before:` compare: when the photograph was taken, by the camera's clock, or else when the file was
last changed, in UTC."""
# larger than any value of the columns, and still a 64-bit integer
MAX_INTEGER = 2**62


def condition(node: MetadataFilter) -> tuple[str, list[object]]:
    """Return a filter as SQL with `$1`, and the value of that. What is not known is null: not true."""
    match node.field, node.value:
        case ("width" | "height" | "bytes") as field, Decimal() as value:
            return _comparison(field, node.operator, Fraction(value)), []
        case ("path" | "root") as field, str() as pattern:
            return f"{field} LIKE $1 ESCAPE '^'", [_like(pattern)]
        case "after", date() as day:
            return f"{DATE} >= $1::DATE::TIMESTAMP", [day]
        case "before", date() as day:
            return f"{DATE} < $1::DATE::TIMESTAMP", [day]
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
