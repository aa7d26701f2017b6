"""Lists of paths and URLs: text, CSV, Parquet, standard input. Every line is an input, in order, also a repeated one.

Relative paths are relative to the folder of the list (of standard input: to the current folder). In a text list a line
is a path to its end: there are no comments and no quotes, a name may begin with `#` or hold blanks. A list with a NUL
byte in its first 64 KiB (`find -print0`) is split at these, so that names may hold line breaks.
"""

import csv
import io
import os
import posixpath
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

from aaam_pipeline.annotate.inputs import remote, web
from aaam_pipeline.annotate.inputs.base import InputItem, file_facts, is_url, reason, suffix
from aaam_pipeline.core.artifacts import absolute, path_text
from aaam_pipeline.core.errors import ImageError, UsageError

STDIN = "-"
COLUMNS = ("path", "file", "filename", "image", "url")
_HEAD = 64 * 1024
_LONGEST_LINE = 64 * 1024
_REMOTE_BLOCK = 4 << 20
_BOM = b"\xef\xbb\xbf"


def lines(given: InputItem, column: str | None, skipped: Counter[str]) -> Iterator[InputItem]:
    """Yield an item for every line of a list; count blank lines.

    Raises:
        UsageError: the list cannot be read, has no such column, or what its URLs need is not installed.
    """
    resolver = _Resolver(given.location)
    for name in _names(given.location, column):
        # a name may consist of line breaks only in theory, a blank line is common
        if not name or name.isspace():
            skipped["blank line"] += 1
        else:
            yield resolver.item(name)


class _Resolver:
    """Makes items of the lines of one list."""

    def __init__(self, location: str) -> None:
        self._url = location if is_url(location) else ""
        if self._url:
            self._folder = self._url.rpartition("/")[0]
        else:
            self._folder = str(Path.cwd()) if location == STDIN else os.path.dirname(location)  # noqa: PTH120
        self._root = path_text(self._folder)
        self._prefix = self._folder if self._folder.endswith("/") else f"{self._folder}/"

    def item(self, name: str) -> InputItem:
        """Return the item for a line."""
        if is_url(name):
            if name[:7].lower() == "file://":
                return self._local(remote.local_path(name))
            # an unknown scheme is a row that fails; what only has to be installed stops at the first line
            if "pip install" in remote.missing(name.partition("://")[0].lower()):
                remote.require(name)
            return remote.named(name)
        if not self._url or name.startswith("/"):
            return self._local(name)
        if urlsplit(self._url).scheme in web.SCHEMES:
            return remote.named(urljoin(self._url, name))
        below = posixpath.normpath(name)
        return InputItem(f"{self._folder}/{below}", self._root, path_text(below), None, None)

    def _local(self, name: str) -> InputItem:
        location = os.path.join(self._prefix, name)  # noqa: PTH118 a Path a line would be slow
        if "/." in location or "//" in location:
            location = str(absolute(Path(location)))
        size, mtime = file_facts(location)
        if location.startswith(self._prefix):
            return InputItem(location, self._root, path_text(location[len(self._prefix) :]), size, mtime)
        anchor = Path(location).anchor
        return InputItem(location, anchor, path_text(location[len(anchor) :]), size, mtime)


def _names(location: str, column: str | None) -> Iterator[str]:
    """Yield the paths and URLs in a list as they are written."""
    kind = suffix(urlsplit(location).path if is_url(location) else location)
    try:
        with _open(location) as stream:
            if kind == ".parquet":
                yield from _parquet(stream, column, path_text(location))
            elif kind in (".csv", ".tsv"):
                yield from _table(stream, column, path_text(location), tabs=kind == ".tsv")
            else:
                yield from _text(stream, path_text(location))
    except (OSError, ImageError, csv.Error) as error:
        raise UsageError(f"cannot read the list {path_text(location)}: {reason(error)}") from None


def _open(location: str) -> AbstractContextManager[BinaryIO]:
    if location == STDIN:
        return nullcontext(sys.stdin.buffer)
    if is_url(location) and urlsplit(location).scheme.lower() in web.SCHEMES:
        return remote.downloaded(location)
    return remote.stream(location, _REMOTE_BLOCK)


def _text(stream: BinaryIO, shown: str) -> Iterator[str]:
    rest = stream.read(_HEAD)
    _refuse_utf16(rest, shown)
    separator = b"\0" if b"\0" in rest else b"\n"
    rest = rest.removeprefix(_BOM)
    end = b"" if separator == b"\0" else b"\r"
    while True:
        *whole, rest = rest.split(separator)
        for line in whole:
            yield os.fsdecode(line.removesuffix(end))
        if len(rest) > _LONGEST_LINE:
            raise UsageError(f"{shown} is no list of paths: it has a line of more than {_LONGEST_LINE} bytes")
        chunk = stream.read(_HEAD)
        if not chunk:
            break
        rest += chunk
    if rest:
        yield os.fsdecode(rest.removesuffix(end))


def _table(stream: BinaryIO, column: str | None, shown: str, *, tabs: bool) -> Iterator[str]:
    head = getattr(stream, "peek", lambda size: b"")(2)
    _refuse_utf16(head, shown)
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    try:
        first = text.readline()
        delimiter = "\t" if tabs else ";" if first.count(";") > first.count(",") else ","
        header = next(csv.reader([first], delimiter=delimiter), [])
        position = header.index(_column(header, column, shown))
        for row in csv.reader(text, delimiter=delimiter):
            yield row[position] if position < len(row) else ""
    finally:
        # standard input, and what the caller closes itself
        text.detach()


def _parquet(stream: BinaryIO, column: str | None, shown: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        name = _column(file.schema_arrow.names, column, shown)
        kind = file.schema_arrow.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind)):
            raise UsageError(f"{shown}: column {name} holds {kind}, not paths; choose another with --column")
        for batch in file.iter_batches(batch_size=8192, columns=[name]):
            yield from ("" if value is None else os.fsdecode(value) for value in batch.column(0).to_pylist())
    except pa.ArrowException as error:
        raise UsageError(f"cannot read the list {shown}: {reason(error)}") from None


def _column(names: Sequence[str], asked: str | None, shown: str) -> str:
    """Return the column that holds the paths: the one asked for, or the first with a usual name."""
    if asked is not None and asked in names:
        return asked
    usual = {name.strip().lower(): name for name in reversed(names)}
    found = next((usual[name] for name in COLUMNS if name in usual), None) if asked is None else None
    if found is None:
        said = f"no column {asked}" if asked is not None else f"no column {', '.join(COLUMNS)}"
        raise UsageError(f"{shown} has {said}; choose one of its own with --column: {path_text(', '.join(names))}")
    return found


def _refuse_utf16(head: bytes, shown: str) -> None:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UsageError(f"{shown} is written in UTF-16; save it as UTF-8")
