"""Rows of earlier parts in a new staging folder: those that stay, and those that wait whether they are replaced.

A picture may have changed when it is compared, and have vanished, or lie behind a server that does not answer, when it
is read. Its earlier row is put in the place of a failure that may pass.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aaam_pipeline.annotate import failures
from aaam_pipeline.annotate.changes import ChangeDetector
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.older_parts import to_current
from aaam_pipeline.formats.parts import is_current, part_path, read_stats
from aaam_pipeline.formats.roots import MovedRoot, apply_all

# a row of these is the earlier one: what was annotated anew has another content
IDENTITY = ["root", "path", "sha256"]
# of a row that stays: null where they are as they were
NEWS = ("root", "mtime", "sha256")


def keep(parts: Sequence[Path], detector: ChangeDetector, rows: Path, part_size: int) -> int:
    """Put the rows of `parts` that stay into new parts from 0 on; return how many these are.

    A part that stays as it is becomes a hard link. The others, and those of an older version, are written anew, small
    ones together: a folder that is brought up to date every night does not end in a thousand small parts.
    """
    linked = 0
    rewritten: list[int] = []
    for index, part in enumerate(parts):
        kept = detector.kept(index)
        before = read_stats(part).count
        whole = len(kept) == before and all(kept[name].null_count == before for name in NEWS)
        if whole and 2 * before >= part_size and is_current(part) and index not in detector.renamed:
            part_files.link_part(part, part_path(rows, linked))
            linked += 1
        elif len(kept):
            rewritten.append(index)
    made = linked
    revised = _revised(((parts[index], detector.kept(index)) for index in rewritten), detector.moved_roots)
    for table in part_files.regroup(revised, part_size):
        part_files.write_part(part_path(rows, made), table)
        made += 1
    return made


def _revised(parts: Iterable[tuple[Path, pa.Table]], moved: Sequence[MovedRoot]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of parts that stay, in the current version, with the names and times that they have now."""
    for path, kept in parts:
        rows = to_current(part_files.read_part(path).take(kept["row"]))
        renamed = apply_all(moved, rows)
        rows = rows if renamed is None else renamed
        changed = kept["root"].is_valid()
        mtime = kept["mtime"].cast(rows.schema.field("mtime").type)
        now = {name: pc.if_else(changed, kept[name], rows[name]) for name in ("root", "path", "link_target")}
        now["mtime"] = pc.if_else(pc.or_(changed, mtime.is_valid()), mtime, rows["mtime"])
        now |= {name: pc.coalesce(kept[name], rows[name]) for name in ("bytes", "sha256")}
        for name, column in now.items():
            rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
        yield from rows.to_batches()


def write_replaced(parts: Sequence[Path], detector: ChangeDetector, path: Path) -> None:
    """Write the rows of pictures that are to be annotated anew; no file where there are none."""
    wanted = ((part, detector.replaced(index)) for index, part in enumerate(parts))
    batches = _revised(((part, rows) for part, rows in wanted if len(rows)), detector.moved_roots)
    first = next(batches, None)
    if first is None:
        return
    with pq.ParquetWriter(path, first.schema, compression="zstd") as sink:
        for batch in (first, *batches):
            sink.write_batch(batch)


def put_back(made: pa.Table, replaced: Path) -> pa.Table:
    """Return rows just made, with the earlier one of `replaced` for each whose failure may pass."""
    passing = failures.may_pass(made["error_type"]).fill_null(False)
    if not pc.any(passing).as_py() or not replaced.is_file():
        return made
    import pyarrow.dataset as ds

    failed = made.filter(passing)["path"].combine_chunks()
    before = ds.dataset(replaced).to_table(filter=ds.field("path").isin(failed)).cast(made.schema)
    places = {name: len(made) + place for place, name in enumerate(_names(before))}
    names = zip(_names(made), passing.to_pylist(), strict=True)
    order = [places.get(name, place) if fails else place for place, (name, fails) in enumerate(names)]
    return pa.concat_tables([made, before]).take(order)


def count_put_back(made: Iterable[Path], replaced: Path) -> int:
    """Return how many of the rows made are rows of `replaced`."""
    if not replaced.is_file():
        return 0
    before = pq.ParquetFile(replaced).read(IDENTITY)
    rows = (part_files.read_part(part, IDENTITY) for part in made)
    return sum(len(each.join(before, IDENTITY, join_type="left semi")) for each in rows)


def _names(rows: pa.Table) -> Iterator[tuple[str, str]]:
    return zip(rows["root"].to_pylist(), rows["path"].to_pylist(), strict=True)
