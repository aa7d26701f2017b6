"""How fast an index is built and how much memory that takes: the whole command, and the score columns alone.

The score columns are all that is written to DuckDB, with the images' metadata, read from the annotations' Parquet
parts; the whole command adds the vectors and the hashes of the files.
"""

import sys
from pathlib import Path

import pyarrow.parquet as pq

from aaam_pipeline.index.scores import INSERT_ROWS, METADATA, ScoresBuilder
from benchmarks.collection import LABELS, NAMES
from benchmarks.watched import watched

COLUMNS = ["images", "score columns, images/s", "peak, MB", "`aaam-pipe index`, images/s", "peak, MB", "index, GB"]
MEMORY = 2 * 10**9
"""What an index is built with: the same for all sizes, to see whether it is enough. Half of it is for DuckDB."""


def measure(annotations: Path, images: int, out: Path) -> list[str]:
    """Build the index of a folder of annotations at `out`; return a row of the table."""
    scores = out.with_suffix(".scores")
    columns_s, columns_mb = watched("benchmarks.index", str(annotations), str(scores))
    scores.unlink()
    whole_s, whole_mb = watched(
        "aaam_pipeline", "index", str(annotations), "--out", str(out), "--quiet", "--max-memory", str(MEMORY)
    )
    size = sum(file.stat().st_size for file in out.iterdir())
    rates = [f"{images / columns_s:,.0f}", f"{columns_mb:,.0f}", f"{images / whole_s:,.0f}", f"{whole_mb:,.0f}"]
    return [f"{images:,}", *rates, f"{size / 1e9:.2f}"]


def _build_scores(annotations: Path, out: Path) -> None:
    """Write the DuckDB half of an index alone."""
    scores = ScoresBuilder(out, LABELS, MEMORY // 2)
    for part in sorted(annotations.glob("*.parquet")):
        for batch in pq.ParquetFile(part).iter_batches(INSERT_ROWS, columns=[*METADATA, "scores"]):
            scores.add(batch)
    scores.finish(NAMES)
    scores.close()


if __name__ == "__main__":
    _build_scores(Path(sys.argv[1]), Path(sys.argv[2]))
