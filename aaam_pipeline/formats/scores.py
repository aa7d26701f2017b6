"""`scores.parquet`: a split with a method's scores, written by training and by every compared method.

Evaluation cannot tell the methods apart. Shapes: N images, L labels, D embedding. Scores are probabilities in [0, 1].
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import as_read
from aaam_pipeline.core.errors import IntegrityError, from_system
from aaam_pipeline.formats import SCHEMA_VERSION
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.formats.columns import (
    check_targets,
    content_sha256,
    fixed_size_list,
    read_scored,
    scored_schema,
    to_float16,
    to_matrix,
    write_table,
)
from aaam_pipeline.formats.scaling import Scaling


class ScoredSplit(NamedTuple):
    """A split with a method's scores: `scores_NL` float32, `targets_NL` int8, the vocabulary, labels an image k.

    Targets are 1 yes, 0 no, -1 unknown. `scores_NL` are as the method gives them. `calibration`, where it has one: to
    what they would be in annotations. `embedding_ND`, float16, where it has embeddings: for measuring neighbour
    evidence. `scaling`, where it has one: by what scores are divided for the rows of scaled scores.
    """

    image_ids: list[str]
    scores_NL: NDArray[np.float32]
    targets_NL: NDArray[np.int8]
    labels: list[str]
    k: int
    calibration: Calibration | None = None
    embedding_ND: NDArray[np.float16] | None = None
    scaling: Scaling | None = None


def write_scores(path: Path, split: ScoredSplit) -> None:
    """Write `scores.parquet`, atomically and with the same bytes for the same content."""
    split = split._replace(
        scores_NL=np.ascontiguousarray(split.scores_NL, np.float32),
        targets_NL=np.ascontiguousarray(split.targets_NL, np.int8),
        embedding_ND=None if split.embedding_ND is None else np.ascontiguousarray(to_float16(split.embedding_ND)),
    )
    metadata = {
        "aaam_schema_version": str(SCHEMA_VERSION),
        "labels": msgspec.json.encode(split.labels),
        "k": str(split.k),
        "sha256": _content_sha256(split),
    }
    if split.calibration:
        metadata["calibration"] = msgspec.json.encode(split.calibration)
    if split.scaling:
        metadata["scaling"] = msgspec.json.encode(split.scaling)
    columns = {
        "image_id": pa.array(split.image_ids, pa.string()),
        "scores": fixed_size_list(split.scores_NL),
        "targets": fixed_size_list(split.targets_NL),
    }
    if split.embedding_ND is not None:
        columns["embedding"] = fixed_size_list(split.embedding_ND)
    write_table(path, pa.table(columns).replace_schema_metadata(metadata))


def read_scores(path: Path) -> ScoredSplit:
    """Read `scores.parquet`.

    Raises:
        IntegrityError: the file is damaged or holds something else.
    """
    try:
        table = read_scored(path)
        metadata = table.schema.metadata or {}
        labels = msgspec.json.decode(metadata[b"labels"], type=list[str])
        # an embedding may follow
        if not pa.schema(list(table.schema)[:3]).equals(scored_schema(len(labels), image_id=pa.string())):
            raise IntegrityError(f"{path} is not a scores file: its columns are others, or of another width")
        split = ScoredSplit(
            image_ids=table["image_id"].to_pylist(),
            scores_NL=to_matrix(table["scores"]),
            targets_NL=to_matrix(table["targets"]),
            labels=labels,
            k=int(metadata[b"k"]),
            calibration=msgspec.json.decode(metadata.get(b"calibration", b"null"), type=Calibration | None),
            embedding_ND=to_matrix(table["embedding"]) if "embedding" in table.column_names else None,
            scaling=msgspec.json.decode(metadata.get(b"scaling", b"null"), type=Scaling | None),
        )
        # older files also hold a setting for neighbour evidence, which their checksum covers
        neighbours = msgspec.json.decode(metadata.get(b"neighbours", b"null"))
    except (OSError, pa.ArrowException, KeyError, ValueError, AttributeError) as error:
        if from_system(error):
            raise
        raise IntegrityError(f"{path} is not a scores file: {error}") from None
    if metadata.get(b"sha256") != _content_sha256(split, neighbours).encode():
        raise IntegrityError(f"{path} was changed, or is of another version: its SHA-256 is not that of what it holds")
    if not ((split.scores_NL >= 0) & (split.scores_NL <= 1)).all():
        raise IntegrityError(f"{path} holds scores that are no probabilities")
    check_targets(path, split.targets_NL)
    if split.calibration and not split.calibration.fits(len(labels)):
        raise IntegrityError(f"{path}: its calibration is not of {len(labels)} labels")
    if split.scaling and len(split.scaling.maxima) != len(labels):
        raise IntegrityError(f"{path}: its scaling is not of {len(labels)} labels")
    return split


def _content_sha256(split: ScoredSplit, neighbours: Any = None) -> str:
    calibration, scaling = (
        msgspec.to_builtins(as_read(each)) if each else None for each in (split.calibration, split.scaling)
    )
    optional = [each for each in (calibration, neighbours, scaling) if each]
    said = [split.image_ids, split.labels, split.k, optional]
    arrays: list[NDArray[Any]] = [split.scores_NL, split.targets_NL]
    return content_sha256(said, arrays if split.embedding_ND is None else [*arrays, split.embedding_ND])
