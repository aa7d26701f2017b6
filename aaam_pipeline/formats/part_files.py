"""Parts of annotations on disk: rows -> a file and its stats. A part counts only once its stats stand beside it."""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aaam_pipeline.core.artifacts import write_bytes, write_checksummed
from aaam_pipeline.core.errors import IntegrityError, from_system
from aaam_pipeline.formats.parts import PartStats, find_stats, read_stats, stats_path

# columns of few values. Rounded scores and embeddings are kept in about 2 bytes each by a dictionary; byte_stream_split
# takes 5 % less, but Spark 4.0 cannot read it
REPEATING = [
    *("path", "root", "status", "error_type", "error_message", "labels.list.element", "model_id"),
    *("scores.list.element", "embedding.list.element"),
]


def write_part(path: Path, rows: pa.Table) -> PartStats:
    """Write a part and, when it is whole, its stats."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", use_dictionary=REPEATING)
    content = sink.getvalue()
    write_bytes(path, content)
    failures = Counter(rows["error_type"].drop_null().to_pylist())
    stats = PartStats(
        count=rows.num_rows,
        successes=pc.sum(pc.equal(rows["status"], "ok")).as_py(),
        failures=dict(sorted(failures.items())),
        sha256=hashlib.sha256(content).hexdigest(),
        inputs_hash=f"{inputs_hash(rows):032x}",
        judged=len(rows) - rows["unfamiliar"].null_count,
        unfamiliar=pc.sum(rows["unfamiliar"], min_count=0).as_py(),
    )
    return write_checksummed(stats_path(path), stats)


def link_part(part: Path, target: Path) -> None:
    """Give a part of the current version and its stats a second name: parts are never written in place."""
    for source, link in ((part, target), (stats_path(part), stats_path(target))):
        link_file(source, link)


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system knows no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def regroup(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """Yield the rows of batches in tables of exactly `size`; the last may be smaller."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        while (count := sum(each.num_rows for each in waiting)) >= size:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, size)
            waiting = table.slice(size).to_batches() if count > size else []
    if waiting:
        yield pa.Table.from_batches(waiting)


def inputs_hash(rows: pa.Table | pa.RecordBatch) -> int:
    """Identify rows by the inputs they stand for, whatever their order: the hashes of two sets add up (mod 2^128)."""
    columns = (rows["root"], rows["path"], rows["bytes"], rows["mtime"].cast(pa.int64()))
    facts = zip(*(column.to_pylist() for column in columns), strict=True)
    hashes = (hashlib.blake2b(repr(row).encode(), digest_size=16).digest() for row in facts)
    return sum(int.from_bytes(digest) for digest in hashes) % 2**128


def is_finished(part: Path) -> bool:
    """Return whether a part is whole."""
    return find_stats(part).is_file() and part.is_file()


def read_part(part: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read rows, or some columns of them, after comparing the part with the SHA-256 that its stats name.

    Raises:
        UsageError, IntegrityError: it is not what was written, or its stats are missing or damaged.
    """
    stats = read_stats(part)
    try:
        content = part.read_bytes()
        if hashlib.sha256(content).hexdigest() != stats.sha256:
            raise IntegrityError(f"{part} was changed: its SHA-256 is not that of its stats")
        return pq.ParquetFile(pa.BufferReader(content)).read(columns)
    except (OSError, pa.ArrowException) as error:
        if from_system(error):
            raise
        raise IntegrityError(f"{part} is missing or damaged: {error}") from None
