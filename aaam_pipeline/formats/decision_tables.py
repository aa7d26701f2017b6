"""Decisions in tables that people and other programs write: CSV, and JSON an object a line.

    image,label,value            value: yes, 1, true; no, 0, false; clear; empty or -1: nothing is said
    image,dog,cat                a column a label
    sha256,label,value,by,...    what `write_csv` writes, with the other fields of a decision

`path` does for `image`, `keyword` for `label`; without `value` every row is a yes. A photograph is named by `sha256`,
or by `image`, or both: the hash counts. CSV is UTF-8 with commas, semicolons or tabs, its first line a heading.
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from aaam_pipeline.core import csv_rows
from aaam_pipeline.core.artifacts import PARTIAL
from aaam_pipeline.core.csv_cells import from_cell, to_cells
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats.decision_lines import By, Value

FIELDS = ("sha256", "image", "label", "value", "by", "source", "at", "model", "score")
"""The columns that are written."""
RENAMED = {"path": "image", "keyword": "label"}
VALUES: dict[str, Value | None] = {
    **dict.fromkeys(("1", "yes", "true", "1.0"), "yes"),
    **dict.fromkeys(("0", "no", "false", "0.0"), "no"),
    **dict.fromkeys(("", "-1", "unknown"), None),
    "clear": "clear",
}
RANKS: tuple[By, ...] = ("person", "file", "model")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
CSV_SUFFIXES = (".csv", ".tsv", ".txt")
LONGEST_CELL = 1 << 20


class DecisionRow(NamedTuple):
    """A row of a table: what it says, and where it stands; the first line has the number 1."""

    line: int
    label: str
    value: Value
    image: str = ""
    sha256: str = ""
    by: By | None = None
    source: str = ""
    at: str = ""
    model: str | None = None
    score: float | None = None


def read_rows(path: Path) -> Iterator[DecisionRow]:
    """Yield what a table says, row by row.

    Raises:
        UsageError: it is not there, is no such table, or a row of it is wrong; the message names the line.
        OSError: it cannot be read.
    """
    kind = path.suffix.lower()
    if kind not in (*JSON_SUFFIXES, *CSV_SUFFIXES):
        raise UsageError(f"{path}: decisions are read from .csv and .jsonl files")
    if not path.exists():
        raise UsageError(f"no file {path}")
    with path.open("r", encoding="utf-8-sig", newline="") as stream:
        try:
            yield from _json(path, stream) if kind in JSON_SUFFIXES else _csv(path, stream)
        except UnicodeDecodeError:
            raise UsageError(f"{path} is not text in UTF-8; save it as CSV UTF-8") from None
        except csv.Error as error:
            raise UsageError(f"{path} cannot be read as CSV: {error}") from None


def write_rows(rows: Iterable[dict[str, Any]], stream: IO[str], as_json: bool) -> int:
    """Write decisions, dicts with the keys `FIELDS`, as JSON lines or as CSV with a heading; return how many."""
    count = 0
    lines = csv.writer(stream, lineterminator="\n")
    if not as_json:
        lines.writerow(FIELDS)
    for row in rows:
        count += 1
        if as_json:
            stream.write(msgspec.json.encode(row).decode() + "\n")
        else:
            lines.writerow(to_cells("" if row.get(name) is None else row[name] for name in FIELDS))
    return count


def write_table(rows: Iterable[dict[str, Any]], path: Path, as_json: bool) -> int:
    """Write decisions as `write_rows` into a file, which is whole or as it was before; return how many.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        with partial.open("w", encoding="utf8", newline="") as stream:
            count = write_rows(rows, stream, as_json)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _json(path: Path, stream: io.TextIOBase) -> Iterator[DecisionRow]:
    for number, text in enumerate(stream, 1):
        if not text.strip():
            continue
        try:
            cells = msgspec.json.decode(text, type=dict[str, str | float | bool | None])
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise UsageError(f"{path}, line {number}: this is no JSON object of a decision ({error})") from None
        if "same_as" in cells:
            raise UsageError(f"{path} is a ledger, not a table: aaam-pipe decisions merge {path}")
        yield from _row(path, number, {name: _text(value) for name, value in cells.items() if value is not None})


def _csv(path: Path, stream: io.TextIOBase) -> Iterator[DecisionRow]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    first = stream.readline()
    delimiter = max(",;\t", key=first.count)
    heading = [RENAMED.get(name, name) for name in _names(next(csv.reader([first], delimiter=delimiter), []))]
    known = [name for name in heading if name in FIELDS]
    if twice := next((name for name in known if heading.count(name) > 1), ""):
        raise UsageError(f"{path}: its heading has {twice} twice, and one of them is needed")
    others = [name for name in heading if name and name not in FIELDS]
    if not {"image", "sha256"} & set(known) or not ({"label"} & set(known) or others):
        shown = " ".join(first.split())[:80]
        raise UsageError(
            f"{path}: its first line must be a heading: image,label,value, or image and one column a label; it is "
            f"{shown!r}"
        )
    labels = () if "label" in known else others
    # the heading is line 1
    for number, cells in csv_rows.read(chain([""], stream), delimiter):
        if not any(cells):
            continue
        if len(cells) > len(heading):
            raise UsageError(f"{path}, line {number}: it has more cells than the heading; one with commas needs quotes")
        row = dict.fromkeys(heading, "") | dict(zip(heading, map(from_cell, map(str.strip, cells)), strict=False))
        yield from _row(path, number, row, labels)


def _names(cells: Sequence[str]) -> list[str]:
    """Return a heading as columns are looked for: what is a word of its own keeps its case."""
    known = {*FIELDS, *RENAMED}
    stripped = [from_cell(name.strip()) for name in cells]
    return [name.casefold() if name.casefold() in known else name for name in stripped]


def _row(path: Path, number: int, cells: dict[str, str], labels: Sequence[str] = ()) -> Iterator[DecisionRow]:
    """Yield what a row says: of one label, or of each of several that have a cell of their own."""
    where = f"{path}, line {number}"
    sha256 = cells.get("sha256", "").lower()
    if sha256 and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
        raise UsageError(f"{where}: {sha256[:80]!r} is no SHA-256, which has 64 hexadecimal digits")
    if not sha256 and not cells.get("image"):
        raise UsageError(f"{where}: it names no photograph")
    by = cells.get("by", "").casefold() or None
    if by is not None and by not in RANKS:
        raise UsageError(f"{where}: by is person, file or model, not {by!r}")
    try:
        score = float(cells["score"]) if cells.get("score") else None
    except ValueError:
        raise UsageError(f"{where}: the score {cells['score']!r} is no number") from None
    said = {label: cells.get(label, "") for label in labels} or {cells.get("label", ""): cells.get("value", "yes")}
    for label, text in said.items():
        if text.casefold() not in VALUES:
            raise UsageError(f"{where}, {label!r}: {text[:80]!r} is neither yes (1, true), no (0, false) nor clear")
        value = VALUES[text.casefold()]
        if label and value:
            yield DecisionRow(
                line=number,
                label=label,
                value=value,
                image=cells.get("image", ""),
                sha256=sha256,
                by=next((rank for rank in RANKS if rank == by), None),
                source=cells.get("source", ""),
                at=cells.get("at", ""),
                model=cells.get("model") or None,
                score=score,
            )


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else f"{value:.17g}"
