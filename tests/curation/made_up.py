"""Annotations of made-up photographs with scores that are given."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from conftest import make_photo
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import file_sha256, fingerprint, write_checksummed
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.assignment import Assignment
from aaam_pipeline.formats.columns import fixed_size_list
from aaam_pipeline.formats.labelling import assign
from aaam_pipeline.formats.parts import (
    VERSION,
    AnnotationsManifest,
    annotations_schema,
    manifest_path,
    part_path,
)
from aaam_pipeline.formats.vocabulary import Vocabulary


def annotations(folder: Path, labels: list[str], score_NL: NDArray[np.float32], parts: int = 3) -> list[str]:
    """Write annotations whose photographs have these scores; return their hashes. The first one is a real picture."""
    photograph = make_photo(folder.parent / "photos" / "0.jpg", 0)
    count = len(score_NL)
    hashes = [file_sha256(photograph), *(fingerprint(number) for number in range(1, count))]
    given, label_scores = assign(score_NL, labels, [0.5] * len(labels), None, np.ones(count, bool))
    known = {
        "path": pa.array([f"{number}.jpg" for number in range(count)]),
        "root": pa.repeat(str(photograph.parent), count),
        "sha256": pa.array(hashes),
        "bytes": pa.array(np.arange(count)),
        "status": pa.repeat("ok", count),
        "labels": given,
        "label_scores": label_scores,
        "scores": fixed_size_list(score_NL),
        "embedding": fixed_size_list(np.zeros((count, 2), np.float32)),
        "model_id": pa.repeat("made-up", count),
    }
    schema = annotations_schema(len(labels), 2)
    rows = pa.table([known.get(each.name, pa.nulls(count)).cast(each.type) for each in schema], schema=schema)
    size = -(-count // parts)
    folder.mkdir()
    for number in range(parts):
        part_files.write_part(part_path(folder, number), rows.slice(number * size, size))
    settings = Assignment().settings()
    manifest = AnnotationsManifest(
        schema_version=VERSION,
        model_id="made-up",
        model_path="",
        vocabulary=labels,
        vocabulary_hash=Vocabulary(labels).hash,
        thresholds=[0.5] * len(labels),
        embedding_dim=2,
        settings=settings,
        settings_hash=fingerprint([VERSION, "made-up", settings]),
        roots=[str(photograph.parent)],
        inputs=count,
        parts=parts,
        successes=count,
    )
    write_checksummed(manifest_path(folder), manifest)
    return hashes
