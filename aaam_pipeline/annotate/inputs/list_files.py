"""The names in a list file, as they are written: text, CSV, Parquet; on disk, on standard input, or by URL.

In a text list a line is a path to its end: there are no comments and no quotes, a name may begin with `#` or hold
blanks. A list with a NUL byte in its first 64 KiB (`find -print0`) is split at these, so that names may hold line
breaks. A table has a heading; its column of paths is the one asked for, else the first of `COLUMNS` that it has.
Text is UTF-8 (bytes that are not are kept, as names on disk can be such), or UTF-16 where it begins with its mark.
"""

import codecs
import csv
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from aaam_pipeline.annotate.inputs import remote, web
from aaam_pipeline.annotate.inputs.base import is_url, reason, suffix
from aaam_pipeline.core import csv_rows
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import ImageError, UsageError
from aaam_pipeline.core.text import folded

if TYPE_CHECKING:
    import pyarrow as pa

STDIN = "-"
# exiftool's SourceFile is before its FileName, which lacks the folder
COLUMNS = (
    *("path", "sourcefile", "filepath", "file_path", "image_path", "file", "filename", "file_name"),
    *("image", "url", "image_url"),
)
_HEAD = 64 * 1024
# what may be wrong with a heading, for text alone
_ADVICE = ". That is its first line: if it is a picture already, put the line `path` above it"
_LONGEST_LINE = 64 * 1024
# tables may hold whole thumbnails, as text in a cell; a quote that nobody closed must not fill the memory
_LONGEST_CELL = 64 << 20
_REMOTE_BLOCK = 4 << 20
_BOM = b"\xef\xbb\xbf"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Excel's own first line
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


def names(location: str, column: str | None) -> Iterator[str]:
    """Yield the paths and URLs in a list as they are written.

    Raises:
        UsageError: the list cannot be read, or has no such column.
    """
    kind = suffix(urlsplit(location).path if is_url(location) else location)
    shown = path_text(location)
    try:
        with _open(location) as stream:
            if kind == ".parquet":
                yield from _parquet(stream, column, shown)
            elif kind in (".csv", ".tsv"):
                yield from _table(stream, column, shown, tabs=kind == ".tsv")
            else:
                yield from _text(stream, shown)
    except (OSError, ImageError, UnicodeError, csv.Error) as error:
        raise UsageError(f"cannot read the list {shown}: {reason(error)}") from None


def _open(location: str) -> AbstractContextManager[BinaryIO]:
    if location == STDIN:
        return nullcontext(sys.stdin.buffer)
    if is_url(location) and urlsplit(location).scheme.lower() in web.SCHEMES:
        return remote.downloaded(location)
    return remote.stream(location, _REMOTE_BLOCK)


def _text(stream: BinaryIO, shown: str) -> Iterator[str]:
    chunks = _utf8(stream)
    rest = next(chunks, b"")
    separator = b"\0" if b"\0" in rest else b"\n"
    rest = rest.removeprefix(_BOM)
    end = b"" if separator == b"\0" else b"\r"
    while True:
        *whole, rest = rest.split(separator)
        for line in whole:
            yield os.fsdecode(line.removesuffix(end))
        if len(rest) > _LONGEST_LINE:
            raise UsageError(f"{shown} is no list of paths: it has a line of more than {_LONGEST_LINE} bytes")
        chunk = next(chunks, b"")
        if not chunk:
            break
        rest += chunk
    if rest:
        yield os.fsdecode(rest.removesuffix(end))


def _utf8(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a text, those of UTF-16 as UTF-8."""
    chunk = stream.read(_HEAD)
    decode = codecs.getincrementaldecoder("utf-16")().decode if chunk.startswith(_UTF16) else None
    while chunk:
        yield decode(chunk).encode("utf-8", "surrogatepass") if decode else chunk
        chunk = stream.read(_HEAD)
    if decode:
        yield decode(b"", final=True).encode()


def _table(stream: BinaryIO, column: str | None, shown: str, *, tabs: bool) -> Iterator[str]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    head = getattr(stream, "peek", lambda size: b"")(2)
    encoding = "utf-16" if head.startswith(_UTF16) else "utf-8-sig"
    text = io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline="")
    try:
        first = text.readline()
        if said := _SEPARATOR.fullmatch(first):
            delimiter, first = said[1], text.readline()
        else:
            delimiter = "\t" if tabs else _delimiter(first, column)
        rows = csv_rows.read(chain([first], text), delimiter)
        _, header = next(rows, (0, []))
        position = header.index(_column(header, column, shown, _ADVICE))
        for _, row in rows:
            yield row[position] if position < len(row) else ""
    finally:
        # standard input, and what the caller closes itself
        text.detach()


def _delimiter(first: str, column: str | None) -> str:
    """Return what divides the cells of a heading: what makes a column of paths of it, else what is most frequent."""
    likely = sorted(",;\t", key=first.count, reverse=True)
    headers = {each: next(csv.reader([first], delimiter=each), []) for each in likely}
    return next((each for each in likely if _find_column(headers[each], column) is not None), likely[0])


def _parquet(stream: BinaryIO, column: str | None, shown: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        name = _column(file.schema_arrow.names, column, shown)
        kind = file.schema_arrow.field(name).type
        if not _holds_text(kind):
            raise UsageError(f"{shown}: column {name} holds {kind}, not paths; choose another with --column")
        for batch in file.iter_batches(batch_size=8192, columns=[name]):
            yield from ("" if value is None else os.fsdecode(value) for value in batch.column(0).to_pylist())
    except pa.ArrowException as error:
        raise UsageError(f"cannot read the list {shown}: {reason(error)}") from None


def _holds_text(kind: "pa.DataType") -> bool:
    from pyarrow import types

    value = kind.value_type if types.is_dictionary(kind) else kind
    text = (types.is_string, types.is_large_string, types.is_string_view)
    data = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return any(is_kind(value) for is_kind in (*text, *data))


def _column(header: Sequence[str], asked: str | None, shown: str, advice: str = "") -> str:
    """Return the column that holds the paths: the one asked for, or the first of `COLUMNS` that there is.

    `advice`: added to what is said where there is none.

    Raises:
        UsageError: there is none.
    """
    found = _find_column(header, asked)
    if found is None:
        said = f"no column {asked}" if asked is not None else f"no column {', '.join(COLUMNS)}"
        if not any(header):
            raise UsageError(f"{shown} has {said}: its heading, the first line, is empty")
        own = path_text(", ".join(header))
        raise UsageError(f"{shown} has {said} in its heading; choose one of its own with --column: {own}{advice}")
    return found


def _find_column(header: Sequence[str], asked: str | None) -> str | None:
    if asked is not None and asked in header:
        return asked
    known = {folded(name.strip()): name for name in reversed(header)}
    wanted = COLUMNS if asked is None else [folded(asked.strip())]
    return next((known[name] for name in wanted if name in known), None)
