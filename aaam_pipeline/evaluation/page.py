"""A report as one HTML page that needs no other file: light or dark, good to print, readable without its script.

The page is `templates/report.html.j2`. Its script sorts a table by the column that is clicked on; the page's policy
allows it by its hash, and nothing else to run or be fetched, even if a label were not escaped somewhere.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from aaam_pipeline.evaluation.document import NONE, Column, Section


def render(title: str, text: str, chapters: Sequence[tuple[str, str, Sequence[Section]]]) -> str:
    """Return the page; a chapter is an anchor, a title and its sections."""
    folder = files(__package__) / "templates"
    style, script = ((folder / f"report.{kind}").read_text("utf8") for kind in ("css", "js"))
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    pages = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return pages.get_template("report.html.j2").render(
        title=title, text=text, chapters=chapters, policy=policy, style=style, script=script, groups=_groups, NONE=NONE
    )


def _groups(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Return the names above the columns, and how many columns each of them spans."""
    return [(name, len(list(members))) for name, members in groupby(columns, key=lambda column: column.group)]
