"""Rows of one file: which of them an index leaves out, so that one file is one image.

Rows are of one file if they have the same path once links are followed (`link_target`): a link beside its file, an
image that a list names twice, folders that overlap (`P` and `P/A`), in one folder of annotations or in several. Behind
a URL and inside an archive the names alone count. No image is opened.

Of the rows of a file one stays: one of its newest state (`mtime`), before a link to it the file itself (where the
annotated folder is a link, a name that is its own below it), then the shortest location, then that of the outermost
folder, whose `path` says the most, then the first.
"""

import tempfile
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.formats.database import explained
from aaam_pipeline.index.annotations import AnnotationsFolder, IndexedPart, with_roots

COLUMNS = ("root", "path", "link_target", "mtime")
MERGED = """
SELECT part, row FROM (
    SELECT part, row, row_number() OVER (
        PARTITION BY real ORDER BY mtime DESC NULLS LAST, location != real, NOT ends_with(real, '/' || path),
            length(location), length(root), part, row
    ) AS place FROM (SELECT *, coalesce(link_target, location) AS real FROM (
        SELECT *, rtrim(root, '/') || '/' || path AS location FROM names
    ))
) WHERE place > 1 ORDER BY part, row
"""


def without_repeated(
    folders: Sequence[AnnotationsFolder], parts: Sequence[Sequence[IndexedPart]]
) -> list[list[IndexedPart]]:
    """Return the parts, each with the rows that are left out because another row of their file stays.

    Raises:
        IntegrityError: a part cannot be read.
        AaamError: there is no room for the list of names.
    """
    if not _can_repeat(folders, parts):
        return [[msgspec.structs.replace(part, merged=[]) for part in each] for each in parts]
    merged = _merged_rows([part for each in parts for part in each])
    numbers = iter(range(len(merged)))
    return [[msgspec.structs.replace(part, merged=merged[next(numbers)]) for part in each] for each in parts]


def _can_repeat(folders: Sequence[AnnotationsFolder], parts: Sequence[Sequence[IndexedPart]]) -> bool:
    """Return whether two rows can be of one file: names alone are compared only where they can."""
    roots = sorted(f"{root.rstrip('/')}/" for folder in folders for root in folder.manifest.roots)
    return (
        any(part.links for each in parts for part in each)
        or any(folder.manifest.repeated for folder in folders)
        or any(inner.startswith(outer) for outer, inner in pairwise(roots))
    )


def _merged_rows(parts: Sequence[IndexedPart]) -> list[list[int]]:
    """Return, for each part, which of its annotated rows are left out."""
    merged: list[list[int]] = [[] for _ in parts]
    with tempfile.TemporaryDirectory(prefix="aaam-") as scratch:
        path = Path(scratch) / "names.duckdb"
        try:
            with duckdb.connect(str(path), config={"memory_limit": "1GB"}) as names:
                names.execute("SET TimeZone = 'UTC'")
                names.execute(
                    "CREATE TABLE names (part INTEGER, row INTEGER, root VARCHAR, path VARCHAR, link_target VARCHAR, "
                    "mtime TIMESTAMPTZ)"
                )
                for rows in _names(parts):
                    names.register("incoming", rows)
                    names.execute("INSERT INTO names SELECT * FROM incoming")
                    names.unregister("incoming")
                for part, row in names.execute(MERGED).fetchall():
                    merged[part].append(row)
        except duckdb.Error as error:
            raise explained(error, path, "build the index again") from None
    return merged


def _names(parts: Iterable[IndexedPart]) -> Iterable[pa.Table]:
    """Yield the names of the annotated rows of each part, with the numbers of both."""
    for number, part in enumerate(parts):
        try:
            with pq.ParquetFile(part.path) as file:
                known = [name for name in COLUMNS if name in file.schema_arrow.names]
                rows = file.read([*known, "status"])
        except (FileNotFoundError, pa.ArrowException) as error:
            raise IntegrityError(f"{part.path} is missing or damaged: {error}") from None
        rooted = partial(located, folder=Path(part.path).parent)
        batches = [with_roots(batch, rooted) for batch in rows.to_batches()]
        rows = pa.Table.from_batches(batches, rows.schema)
        rows = rows.filter(pc.equal(rows["status"], "ok"))
        columns = [rows[name] if name in known else pa.nulls(len(rows), pa.string()) for name in COLUMNS]
        numbers = [pa.array([number] * len(rows), pa.int32()), pa.array(range(len(rows)), pa.int32())]
        yield pa.table([*numbers, *columns], ["part", "row", *COLUMNS])
