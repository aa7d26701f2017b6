"""How fast `relabel` is beside its limit, to read and to write the Parquet, and beside annotating again.

A made-up folder of 200 labels and embeddings of 1,408 numbers, in parts of 1,024 rows: the size of the starter's. The
limit reads every part, compares its hash, and writes it again as it is. All run by turns, and what is compared is the
processor time, which other work on the machine changes least.
"""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from aaam_pipeline.cli.model_facts import measured_rate
from aaam_pipeline.core.artifacts import fingerprint, write_checksummed
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.curation.relabel import OtherHead, relabel
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.assignment import Assignment
from aaam_pipeline.formats.columns import fixed_size_list
from aaam_pipeline.formats.head import LinearHead
from aaam_pipeline.formats.labelling import assign
from aaam_pipeline.formats.parts import (
    VERSION,
    AnnotationsManifest,
    annotations_schema,
    manifest_path,
    part_path,
    round_embedding,
    round_scores,
)
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.models import library
from benchmarks.table import Report

MINUTES = (0.5, 2.0)
LABELS = [f"word {number}" for number in range(200)]
DIM, PART, MODEL = 1408, 1024, "bench-01234567-89abcdef"
# parts; with --full 51,200 rows
SHORT, FULL = 10, 50


def run(report: Report, full: bool) -> None:
    """Add the table."""
    parts = FULL if full else SHORT
    rows = parts * PART
    with tempfile.TemporaryDirectory(prefix="aaam-bench-") as place:
        folder = Path(place) / "annotations"
        _write(folder, parts)
        head = _head(Path(place))
        ways: dict[str, Callable[[], object]] = {
            "read and write the Parquet: the limit": lambda: _copy(folder, Path(place) / "copy", parts),
            "`relabel --threshold`": lambda: relabel(folder, Assignment(threshold=0.3), NullReporter()),
            "`relabel --model`": lambda: relabel(folder, Assignment(threshold=0.3), NullReporter(), head),
        }
        best: dict[str, float] = {}
        for _ in range(2):
            for name, way in ways.items():
                started = time.process_time()
                way()
                best[name] = min(best.get(name, np.inf), time.process_time() - started)
            # so that there is something to do again
            relabel(folder, Assignment(threshold=0.5), NullReporter(), _other(head))
    add = report.table(
        f"relabel, {rows:,} rows, {len(LABELS)} labels, {DIM:,} numbers",
        ["", "rows/s of one core", "of the limit", "a million rows on two cores, s", "times annotating again"],
    )
    again = measured_rate(library.STARTER_FOLDER) if library.has_starter() else None
    limit = next(iter(best.values()))
    for name, seconds in best.items():
        rate = rows / seconds
        ratio = "" if again is None else f"{rate / again:,.0f}"
        add([name, f"{rate:,.0f}", f"{limit / seconds:.2f}", f"{1e6 / rate / 2:,.0f}", ratio])
    if again:
        report.note(
            f"Annotating again: the starter's network alone, {again:,.0f} images/s of one core, nothing decoded."
        )


def _write(folder: Path, parts: int) -> None:
    """Write annotations; a part's scores and embeddings are those of the first, shifted by some rows."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    scores_NL = round_scores(chance.beta(0.3, 5, (PART, len(LABELS))).astype(np.float32))
    embedding_ND = round_embedding(np.maximum(chance.normal(0, 1, (PART, DIM)), 0).astype(np.float32))
    for number in range(parts):
        scores, embedding = np.roll(scores_NL, number, 0), np.roll(embedding_ND, number, 0)
        labels, label_scores = assign(scores, LABELS, [0.5] * len(LABELS), None, np.ones(PART, bool))
        known = {
            "path": pa.array([f"2019/IMG_{number * PART + row:07d}.jpg" for row in range(PART)]),
            "root": pa.repeat("/photos", PART),
            "sha256": pa.array([chance.bytes(32).hex() for _ in range(PART)]),
            "bytes": pa.array(chance.integers(50_000, 5_000_000, PART)),
            "status": pa.repeat("ok", PART),
            "labels": labels,
            "label_scores": label_scores,
            "scores": fixed_size_list(scores),
            "embedding": fixed_size_list(embedding),
            "model_id": pa.repeat(MODEL, PART),
        }
        schema = annotations_schema(len(LABELS), DIM)
        columns = [known.get(each.name, pa.nulls(PART)).cast(each.type) for each in schema]
        part_files.write_part(part_path(folder, number), pa.table(columns, schema=schema))
    settings = Assignment().settings()
    manifest = AnnotationsManifest(
        schema_version=VERSION,
        model_id=MODEL,
        model_path="",
        vocabulary=LABELS,
        vocabulary_hash=Vocabulary(LABELS).hash,
        thresholds=[0.5] * len(LABELS),
        embedding_dim=DIM,
        settings=settings,
        settings_hash=fingerprint([VERSION, MODEL, settings]),
        roots=["/photos"],
        inputs=parts * PART,
        parts=parts,
        successes=parts * PART,
    )
    write_checksummed(manifest_path(folder), manifest)


def _head(place: Path) -> OtherHead:
    weight_LD = np.random.default_rng(1).normal(0, 0.05, (len(LABELS), DIM)).astype(np.float32)
    head = LinearHead(weight_LD, np.full(len(LABELS), -3, np.float32), None, [0.5] * len(LABELS))
    return OtherHead(place / "bundle", f"{MODEL[:-8]}00000000", LABELS, head, [])


def _other(head: OtherHead) -> OtherHead:
    return head._replace(model_id=MODEL, head=head.head._replace(weight_LD=-head.head.weight_LD))


def _copy(folder: Path, out: Path, parts: int) -> None:
    out.mkdir(exist_ok=True)

    def copy(number: int) -> None:
        part_files.write_part(part_path(out, number), part_files.read_part(part_path(folder, number)))

    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(copy, range(parts)))
