"""How long a two-label query takes, in process and as a whole command, beside a NumPy scan of the same bytes."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

import aaam_pipeline.search as search
from aaam_pipeline.core import ranking, schema
from aaam_pipeline.core.artifacts import write_json
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.scores import ScoresBuilder
from aaam_pipeline.index.vector_builders import builder
from benchmarks.table import best, median, show

SIZES = (1_000, 100_000)
LABELS = 80
DIM = 256
QUERIES = 50
MEMORY = 8 * 10**9


def run() -> None:
    """Measure every size and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measure(count, Path(folder) / str(count)) for count in SIZES]
        help_time = best(lambda: _command("--help"), 5)
    names = ["images", "query p50", "NumPy scan p50", "ratio", "similar p50", "`aaam-pipe search`, whole process"]
    show(f"search, two labels of {LABELS}, vectors of {DIM}", names, rows)
    print(f"`aaam-pipe --help` as a whole process: {1000 * help_time:.0f} ms\n")


def _measure(count: int, folder: Path) -> list[str]:
    codes_NL = _build(count, folder)
    rng = np.random.default_rng(2)
    pairs = iter([rng.choice(LABELS, 2, replace=False) for _ in range(2 * QUERIES + 2)])
    columns = [np.ascontiguousarray(column) for column in codes_NL.T]

    def scan() -> None:
        one, other = next(pairs)
        product = columns[one].astype(np.uint16) * columns[other]
        best_ones = np.argpartition(product, -20)[-20:]
        best_ones[np.argsort(-product[best_ones].astype(np.int32), kind="stable")]

    with search.open(folder) as index:
        index.similar(np.ones(DIM, np.float32))

        def query() -> None:
            one, other = next(pairs)
            index.query(f"l{one} l{other}")

        query()
        in_process = median(query, QUERIES)
        scanned = median(scan, QUERIES)
        similar = median(lambda: index.similar(rng.normal(size=DIM).astype(np.float32)), QUERIES)
    whole = best(lambda: _command("search", "l1 l2", "--index", str(folder)), 5)
    times = [f"{1000 * value:.2f} ms" for value in (in_process, scanned)]
    ratio = f"{in_process / scanned:.1f}"
    return [f"{count:,}", *times, ratio, f"{1000 * similar:.2f} ms", f"{1000 * whole:.0f} ms"]


def _command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "aaam_pipeline", *arguments], check=True, capture_output=True)


def _build(count: int, folder: Path) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    """Build an index of random scores: most labels are unlikely for most images, as in real annotations."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    scores_NL = rng.beta(0.3, 3, (count, LABELS)).astype(np.float16)
    embedding_ND = rng.normal(size=(count, DIM)).astype(np.float16)
    scores = ScoresBuilder(folder / manifests.SCORES, LABELS, MEMORY)
    vectors = builder(DIM, count, MEMORY, folder)
    rows = pa.table(
        {
            "path": [f"photos/{number:08d}.jpg" for number in range(count)],
            "root": pa.array(["/photos"] * count),
            "sha256": pa.nulls(count, pa.string()),
            "bytes": pa.nulls(count, pa.int64()),
            "mtime": pa.nulls(count, pa.timestamp("us", tz="UTC")),
            "taken": pa.nulls(count, pa.timestamp("us")),
            "width": pa.nulls(count, pa.int32()),
            "height": pa.nulls(count, pa.int32()),
            "labels": pa.array([["l1"]] * count),
            "scores": schema.fixed_list(scores_NL),
        }
    )
    scores.add(rows.combine_chunks().to_batches()[0])
    vectors.add(embedding_ND)
    scores.finish()
    scores.close()
    facts = vectors.write(folder / manifests.VECTORS)
    write_json(folder / manifests.PARTS, [])
    labels = [f"l{number}" for number in range(LABELS)]
    manifests.write(
        folder,
        manifests.IndexManifest(
            schema_version=manifests.VERSION,
            model_id="bench",
            model_path="",
            vocabulary=labels,
            thresholds=[0.5] * LABELS,
            label_counts=[0] * LABELS,
            embedding_dim=DIM,
            images=count,
            failed=0,
            annotations=[],
            vectors=facts,
        ),
    )
    return ranking.encode(scores_NL)
