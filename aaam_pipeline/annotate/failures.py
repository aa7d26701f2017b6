"""Failures that may pass, and those that do not: which images are tried again."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.annotate.listing import to_items
from aaam_pipeline.annotate.reader import fetch
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.parts import part_path, read_stats

# by `error_type`: not the file is at fault, but what is between it and us. The next run tries such images again;
# others, whose bytes are at fault, only --retry-failed does.
PASSING = ("unreadable", "timeout")
UNREADABLE = PASSING[0]
THREADS = 8

WAITING = """
SELECT listed.*, error_type, failure FROM matched JOIN listed USING (input)
JOIN rows ON rows.part = matched.part AND rows.row = matched.row WHERE state = 'passing' ORDER BY input
"""
# of files of this machine: what lies elsewhere would be fetched twice
REPLACED = """
SELECT listed.* FROM matched JOIN listed USING (input)
WHERE state = 'changed' AND holds AND NOT contains(listed.root, '://') ORDER BY input
"""
OUTCOME = ("root", "path", "sha256", "bytes", "mtime", "error_type", "error_message")


def may_pass(error_types: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return which failures may pass; null where nothing failed."""
    return pc.if_else(error_types.is_valid(), pc.is_in(error_types, pa.array(PASSING, pa.string())), None)


def try_again(database: duckdb.DuckDBPyConnection, report: Reporter) -> None:
    """Mark inputs in the state `passing` as `kept` or `retried`. What cannot be read still needs no model for that."""
    failed = database.sql(WAITING).to_arrow_table()
    if not failed.num_rows:
        return
    same: list[bool] = []
    with report.task("try again", failed.num_rows) as advance, ThreadPoolExecutor(THREADS) as pool:
        for chunk in failed.to_batches(256):
            before = zip(chunk["error_type"].to_pylist(), chunk["failure"].to_pylist(), strict=True)
            same += pool.map(_fails_again, to_items(chunk), before)
            advance(chunk.num_rows)
    answers = pa.table({"input": failed["input"], "same": pa.array(same)})
    database.register("answers", answers)
    database.execute(
        "UPDATE matched SET state = if(same, 'kept', 'retried') FROM answers WHERE matched.input = answers.input"
    )
    database.unregister("answers")


def hold_unreadable(database: duckdb.DuckDBPyConnection) -> None:
    """Mark inputs in the state `changed` as `missing` that have the row of a picture, and cannot be read."""
    changed = database.sql(REPLACED).to_arrow_table()
    with ThreadPoolExecutor(THREADS) as pool:
        readable = list(pool.map(_is_readable, to_items(changed)))
    held = changed.select(["input"]).filter(pc.invert(pa.array(readable, pa.bool_())))
    database.register("held", held)
    database.execute("UPDATE matched SET state = 'missing' FROM held WHERE matched.input = held.input")
    database.unregister("held")


def same_outcome(made: Iterable[Path], before: Iterable[Path]) -> bool:
    """Return whether all rows of the parts `made` failed, just as they did in the parts `before`."""
    tables = [part_files.read_part(part, OUTCOME) for part in made]
    if any(rows["error_type"].null_count for rows in tables):
        return False
    again = (part_files.read_part(part, OUTCOME) for part in before)
    return set(_outcomes(tables)) <= set(_outcomes(rows.filter(rows["error_type"].is_valid()) for rows in again))


def first_failures(folder: Path, parts: int, most: int) -> Iterator[tuple[str, str]]:
    """Yield location and message of the first `most` failed rows of annotations; parts without failures stay unread."""
    failing = (part for part in (part_path(folder, number) for number in range(parts)) if read_stats(part).failures)
    rows = (row for part in failing for row in _failures(part))
    return islice(rows, most)


def _failures(part: Path) -> Iterator[tuple[str, str]]:
    rows = part_files.read_part(part, OUTCOME)
    failed = rows.filter(rows["error_type"].is_valid()).select(["root", "path", "error_message"])
    for row in failed.to_pylist():
        yield f"{row['root'].rstrip('/')}/{row['path']}", row["error_message"]


def _outcomes(tables: Iterable[pa.Table]) -> Iterator[tuple[Any, ...]]:
    for rows in tables:
        yield from zip(*(rows[name].to_pylist() for name in OUTCOME), strict=True)


def _is_readable(item: InputItem) -> bool:
    try:
        with Path(item.location).open("rb", buffering=0) as stream:
            stream.read(1)
    except (OSError, ValueError):
        return False
    return True


def _fails_again(item: InputItem, before: tuple[str, str]) -> bool:
    """Return whether an input cannot be read for the reason it could not be read before."""
    if before[0] != UNREADABLE:
        # whether decoding takes too long again, decoding alone can tell
        return False
    try:
        fetch(item)
    except ImageError as error:
        return (error.kind, str(error)) == before
    return False
