"""Writes rows into parts of a fixed size; a part counts only once its stats file stands beside it."""

import hashlib
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aaam_pipeline.core.artifacts import read_json, write_bytes, write_json
from aaam_pipeline.core.schema import PartStats


class Writer:
    """Collects record batches and writes `part-NNNNN.parquet` whenever `part_size` rows are together."""

    def __init__(self, folder: Path, schema: pa.Schema, part_size: int, first_part: int) -> None:
        """Write into `folder`, numbering parts from `first_part`."""
        self.folder, self.schema, self.part_size = folder, schema, part_size
        self.part = first_part
        self._rows: list[pa.RecordBatch] = []
        self._started = time.perf_counter()

    def add(self, batch: pa.RecordBatch) -> None:
        """Take rows; write as many full parts as they complete."""
        self._rows.append(batch)
        while (waiting := sum(each.num_rows for each in self._rows)) >= self.part_size:
            table = pa.Table.from_batches(self._rows, self.schema)
            self._write(table.slice(0, self.part_size))
            self._rows = table.slice(self.part_size).to_batches() if waiting > self.part_size else []

    def close(self) -> None:
        """Write the rows that are left as the last, smaller part."""
        if self._rows:
            self._write(pa.Table.from_batches(self._rows, self.schema))
            self._rows = []

    def _write(self, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        content = sink.getvalue()
        write_bytes(part_path(self.folder, self.part), content)
        now = time.perf_counter()
        failures = Counter(table["error_type"].drop_null().to_pylist())
        write_json(
            stats_path(self.folder, self.part),
            PartStats(
                count=table.num_rows,
                successes=pc.sum(pc.equal(table["status"], "ok")).as_py(),
                failures=dict(sorted(failures.items())),
                seconds=round(now - self._started, 3),
                sha256=hashlib.sha256(content).hexdigest(),
            ),
        )
        self._started = now
        self.part += 1


def part_path(folder: Path, part: int) -> Path:
    """Return where part number `part` lies."""
    return folder / f"part-{part:05d}.parquet"


def stats_path(folder: Path, part: int) -> Path:
    """Return where the stats of part number `part` lie."""
    return folder / f"part-{part:05d}_stats.json"


def finished_parts(folder: Path) -> list[PartStats]:
    """Return the stats of the parts that are whole, from part 0 up to the first gap."""
    stats: list[PartStats] = []
    while stats_path(folder, len(stats)).is_file() and part_path(folder, len(stats)).is_file():
        stats.append(read_json(stats_path(folder, len(stats)), PartStats, "an annotations folder"))
    return stats
