"""Prediction paths (Fig. 2 of the paper): the scores of a few images, again and again while a network is trained.

Shapes: S steps, M images, L labels.

A recording is a Parquet file with one row a step and image, steps in order and the images of a step in the same order:
`step: int64, image_id: string, scores: fixed_size_list<float32>[L], targets: fixed_size_list<int8>[L]`; the labels and
a SHA-256 of all are in the metadata, as in `scores.parquet`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError, from_system
from aaam_pipeline.formats import SCHEMA_VERSION
from aaam_pipeline.formats.columns import (
    check_targets,
    content_sha256,
    fixed_size_list,
    read_scored,
    scored_schema,
    to_matrix,
    write_table,
)


class Recording(NamedTuple):
    """Scores while training: `steps_S` int64, rising; `scores_SML` float32 in [0, 1]; `targets_ML` int8."""

    labels: list[str]
    image_ids: list[str]
    targets_ML: NDArray[np.int8]
    steps_S: NDArray[np.int64]
    scores_SML: NDArray[np.float32]


def write_recording(path: Path, recording: Recording) -> None:
    """Write a recording, atomically and with the same bytes for the same content.

    Raises:
        ValueError: the shapes do not fit each other, or there is no step, image or label at all.
    """
    shape = (len(recording.steps_S), len(recording.image_ids), len(recording.labels))
    if recording.scores_SML.shape != shape or recording.targets_ML.shape != shape[1:] or 0 in shape:
        raise ValueError(
            f"scores {recording.scores_SML.shape} and targets {recording.targets_ML.shape} are not of {shape}"
        )
    recording = recording._replace(
        targets_ML=np.ascontiguousarray(recording.targets_ML, np.int8),
        steps_S=np.ascontiguousarray(recording.steps_S, np.int64),
        scores_SML=np.ascontiguousarray(recording.scores_SML, np.float32),
    )
    steps, images, labels = shape
    columns = {
        "step": pa.array(recording.steps_S.repeat(images)),
        "image_id": pa.array(recording.image_ids * steps, pa.string()),
        "scores": fixed_size_list(recording.scores_SML.reshape(-1, labels)),
        "targets": fixed_size_list(np.tile(recording.targets_ML, (steps, 1))),
    }
    metadata = {
        "aaam_schema_version": str(SCHEMA_VERSION),
        "labels": msgspec.json.encode(recording.labels),
        "sha256": _sha256(recording),
    }
    write_table(path, pa.table(columns).replace_schema_metadata(metadata))


def read_recording(path: Path) -> Recording:
    """Read a recording.

    Raises:
        IntegrityError: the file is not there, damaged, or holds something else.
    """
    try:
        table = read_scored(path)
        metadata = table.schema.metadata or {}
        labels = msgspec.json.decode(metadata[b"labels"], type=list[str])
        if not table.schema.equals(scored_schema(len(labels), step=pa.int64(), image_id=pa.string())):
            raise IntegrityError(f"{path} is not a recording: its columns are others, or of another width")
        step_R = table["step"].to_numpy()
        images = int((step_R == step_R[0]).sum())
        recording = Recording(
            labels, table["image_id"].to_pylist()[:images], to_matrix(table["targets"])[:images],
            step_R[::images].copy(), to_matrix(table["scores"]).reshape(-1, images, len(labels)),
        )  # fmt: skip
    except (OSError, pa.ArrowException, LookupError, ValueError, AttributeError) as error:
        if from_system(error):
            raise
        raise IntegrityError(f"{path} is not a recording: {error}") from None
    if metadata.get(b"sha256") != _sha256(recording).encode():
        raise IntegrityError(f"{path} was changed, or is of another version: its SHA-256 is not that of what it holds")
    if not ((recording.scores_SML >= 0) & (recording.scores_SML <= 1)).all():
        raise IntegrityError(f"{path} holds scores that are no probabilities")
    check_targets(path, recording.targets_ML)
    return recording


def join(recordings: Sequence[Recording]) -> Recording:
    """Put phases one after the other, in order: the steps of a phase continue from the last step of the one before.

    A phase may start from other weights than the last of the one before (those of its best epoch): a step may then be
    there twice.

    Raises:
        IntegrityError: they are not of the same images and labels.
    """
    first = recordings[0]
    for each in recordings[1:]:
        same = (each.labels, each.image_ids) == (first.labels, first.image_ids)
        if not same or (each.targets_ML != first.targets_ML).any():
            raise IntegrityError("recordings to be joined are of other images or labels")
    starts = np.cumsum([0, *(each.steps_S[-1] for each in recordings[:-1])])
    return first._replace(
        steps_S=np.concatenate([start + each.steps_S for start, each in zip(starts, recordings, strict=True)]),
        scores_SML=np.concatenate([each.scores_SML for each in recordings]),
    )


def _sha256(recording: Recording) -> str:
    arrays: list[NDArray[Any]] = [recording.targets_ML, recording.steps_S, recording.scores_SML]
    return content_sha256([recording.image_ids, recording.labels], arrays)
