"""An index of made-up images, written without a model: what its annotations hold, and how to read its hits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import file_sha256, fingerprint, write_checksummed
from aaam_pipeline.formats.columns import fixed_size_list
from aaam_pipeline.formats.parts import (
    VERSION,
    AnnotationsManifest,
    PartStats,
    annotations_schema,
    manifest_path,
    part_path,
    stats_path,
)
from aaam_pipeline.formats.words import WordSupport
from aaam_pipeline.search import Hit

LABELS = ["grass", "sky", "traffic light", "person", "boat", "never"]
IMAGES, DIM = 500, 8


def write_annotations(
    folder: Path,
    scores_NL: NDArray[np.float16],
    embedding_ND: NDArray[np.float16],
    words: Sequence[WordSupport] = (),
    **facts: list[Any],
) -> Path:
    """Write an annotations folder by hand, as the contract says and without a model; `facts`: columns of it.

    `words`: what the manifest says of how well each label is known.
    """
    count = len(scores_NL)
    shape = annotations_schema(len(LABELS), DIM)
    assigned = [[label for label, score in zip(LABELS, row, strict=True) if score >= 0.5] for row in scores_NL]
    columns = {
        "path": [f"{number:04d}.jpg" for number in range(count)],
        "root": ["/photos"] * count,
        "status": ["ok"] * count,
        "model_id": ["toy"] * count,
        "labels": assigned,
        "scores": fixed_size_list(np.asarray(scores_NL, np.float32)),
        "embedding": fixed_size_list(np.asarray(embedding_ND, np.float32)),
    } | facts
    arrays = [pa.array(columns.get(field.name, [None] * count), field.type) for field in shape]
    folder.mkdir()
    part = part_path(folder, 0)
    pq.write_table(pa.Table.from_arrays(arrays, schema=shape), part)
    write_checksummed(stats_path(part), PartStats(count, count, {}, file_sha256(part), ""))
    manifest = AnnotationsManifest(
        schema_version=VERSION,
        model_id="toy",
        model_path="/models/toy",
        vocabulary=LABELS,
        vocabulary_hash=fingerprint(LABELS),
        thresholds=[0.5] * len(LABELS),
        embedding_dim=DIM,
        settings={},
        settings_hash="",
        roots=sorted(set(columns["root"])),
        inputs=count,
        inputs_hash="",
        parts=1,
        successes=count,
        words=list(words),
    )
    write_checksummed(manifest_path(folder), manifest)
    return folder


def random_scores() -> NDArray[np.float16]:
    """Scores with many ties: few different values, whole runs of equal rows, a label that no image holds."""
    chance = np.random.default_rng(0)
    scores_NL = chance.choice([0.0, 0.001, 0.2, 0.5, 0.501, 0.9, 1.0], (IMAGES, len(LABELS)))
    scores_NL[100:160] = scores_NL[100]
    scores_NL[:, LABELS.index("never")] = 0
    scores_NL[:, LABELS.index("boat")] = chance.random(IMAGES)
    return scores_NL.astype(np.float16)


SCORES_NL = random_scores()
EMBEDDING_ND = np.random.default_rng(1).normal(size=(IMAGES, DIM)).astype(np.float16)


def ids_of(hits: list[Hit]) -> list[int]:
    return [int(hit.path[:4]) for hit in hits]
