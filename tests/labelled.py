"""Annotations of files, made without a model: their labels are what the test says."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from aaam_pipeline.core.artifacts import path_text, write_checksummed
from aaam_pipeline.formats.part_files import write_part
from aaam_pipeline.formats.parts import VERSION, AnnotationsManifest, annotations_schema, manifest_path, part_path
from aaam_pipeline.formats.vocabulary import Vocabulary

MODEL_ID = "toy-hard-0123abcd-89ef4567"


def annotate_files(
    folder: Path,
    root: Path,
    labels: Mapping[str, Mapping[str, float]],
    vocabulary: list[str],
    part_size: int = 1000,
    embeddings: Mapping[str, float] | None = None,
) -> Path:
    """Write annotations of files below `root`: path -> label -> score; embeddings have one number."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_row(root, path, scores, vocabulary) for path, scores in labels.items()]
    for row in rows:
        row["embedding"] = [(embeddings or {}).get(str(row["path"]), 0.0)]
    schema = annotations_schema(len(vocabulary), 1)
    starts = range(0, len(rows), part_size)
    for number, start in enumerate(starts):
        table = pa.Table.from_pylist(rows[start : start + part_size], schema)
        write_part(part_path(folder, number), table)
    manifest = AnnotationsManifest(
        schema_version=VERSION,
        model_id=MODEL_ID,
        model_path="",
        vocabulary=vocabulary,
        vocabulary_hash=Vocabulary(vocabulary).hash,
        thresholds=[0.5] * len(vocabulary),
        embedding_dim=1,
        settings={},
        settings_hash="",
        roots=[path_text(root)],
        inputs=len(rows),
        parts=len(starts),
        successes=len(rows),
    )
    write_checksummed(manifest_path(folder), manifest)
    return folder


def _row(root: Path, path: str, scores: Mapping[str, float], vocabulary: list[str]) -> dict[str, object]:
    file = root / path
    status = file.stat()
    best = sorted(scores, key=lambda label: -scores[label])
    return {
        "path": path_text(path),
        "root": path_text(root),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "bytes": status.st_size,
        "mtime": status.st_mtime_ns // 1000,
        "width": 1,
        "height": 1,
        "status": "ok",
        "labels": best,
        "label_scores": [scores[label] for label in best],
        "scores": [scores.get(label, 0.0) for label in vocabulary],
        "model_id": MODEL_ID,
    }
