"""How fast an index is built and how much memory that takes: the whole command, and the score columns alone.

The score columns are everything that goes into DuckDB, the images' facts among it, read from the annotations' Parquet
parts; the whole command adds the vectors and the hashes of the files.
"""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from aaam_pipeline.index.scores import FACTS, INSERTED, ScoresBuilder
from benchmarks.collection import LABELS, NAMES

COLUMNS = ["images", "score columns, images/s", "peak, MB", "`aaam-pipe index`, images/s", "peak, MB", "index, GB"]
MEMORY = 2 * 10**9
"""What an index is built with: the same for all sizes, to see whether it is enough. Half of it is for DuckDB."""

# a process is counted with the memory of the one that started it: a small one has to
WATCHED = """
import os, sys
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def measure(annotations: Path, images: int, out: Path) -> list[str]:
    """Build the index of a folder of annotations at `out`; return a row of the table."""
    scores = out.with_suffix(".scores")
    columns_s, columns_mb = _run("benchmarks.index", str(annotations), str(scores))
    scores.unlink()
    whole_s, whole_mb = _run(
        "aaam_pipeline", "index", str(annotations), "--out", str(out), "--quiet", "--max-memory", str(MEMORY)
    )
    size = sum(file.stat().st_size for file in out.iterdir())
    rates = [f"{images / columns_s:,.0f}", f"{columns_mb:,.0f}", f"{images / whole_s:,.0f}", f"{whole_mb:,.0f}"]
    return [f"{images:,}", *rates, f"{size / 1e9:.2f}"]


def _run(module: str, *arguments: str) -> tuple[float, float]:
    """Run a module; return its seconds and its peak memory in MB."""
    started = time.perf_counter()
    command = [sys.executable, "-c", WATCHED, sys.executable, "-m", module, *arguments]
    peak = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return time.perf_counter() - started, int(peak) / 1024


def _build_scores(annotations: Path, out: Path) -> None:
    """Write the DuckDB half of an index alone."""
    scores = ScoresBuilder(out, LABELS, MEMORY // 2)
    for part in sorted(annotations.glob("*.parquet")):
        for batch in pq.ParquetFile(part).iter_batches(INSERTED, columns=[*FACTS, "scores"]):
            scores.add(batch)
    scores.finish()
    scores.label_counts(NAMES)
    scores.close()


if __name__ == "__main__":
    _build_scores(Path(sys.argv[1]), Path(sys.argv[2]))
