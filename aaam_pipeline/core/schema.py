"""Everything that flows between rooms as Parquet or as a manifest, with its version.

Shapes: L labels, D embedding. Scores are probabilities in [0, 1].

- `scores.parquet`: one row an image of a split, written by training (and by every compared method), read by evaluation.
- `annotations/part-*.parquet`: one row for every input image, written by annotate, read by index and by anyone else.
- Scores while training: `core.recording`.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import as_read, check_seal, fingerprint, read_json, write_bytes
from aaam_pipeline.core.calibration import Calibration
from aaam_pipeline.core.errors import IntegrityError

VERSION = 2
# what a scores file says in its metadata where it is known
MAYBE = ("calibration", "neighbours")
HALF = float(np.finfo(np.float16).max)


class Neighbours(msgspec.Struct, frozen=True):
    """How many neighbours to smooth scores over and how much, best on validation, and the mean mAP gained there."""

    count: int
    weight: float
    gain: float


class ScoredSplit(NamedTuple):
    """A split with a method's scores: `scores_NL` float32, `targets_NL` uint8, the vocabulary, labels an image k.

    `scores_NL` are as the method gives them. `calibration`, where it has one: to what they would be in annotations.
    `embedding_ND` float16 and `neighbours`: for measuring neighbour evidence, where there are embeddings.
    """

    image_ids: list[str]
    scores_NL: NDArray[np.float32]
    targets_NL: NDArray[np.uint8]
    labels: list[str]
    k: int
    calibration: Calibration | None = None
    embedding_ND: NDArray[np.float16] | None = None
    neighbours: Neighbours | None = None


class PartStats(msgspec.Struct, frozen=True):
    """`part-00000_stats.json`: written after its part was closed, so its presence says that the part is whole.

    `inputs_hash` (hex) stands for the root, path, size and time of every row; those of several parts add up mod 2^128.
    `hash`: of all other fields, filled in when it is written.
    """

    count: int
    successes: int
    failures: dict[str, int]
    seconds: float
    sha256: str
    inputs_hash: str
    hash: str = ""


class AnnotationsManifest(msgspec.Struct, frozen=True):
    """`annotations/manifest.json`: what was annotated, with which model and settings.

    `inputs_hash`: the sum of the parts' (`PartStats`); `repeated`: inputs that a list names once more; `plan`: the run
    that wrote it; `calibration`: the model's, by which the scores of the rows were calibrated; `hash`: of all other
    fields, filled in when it is written.
    """

    schema_version: int
    model_id: str
    model_path: str
    vocabulary: list[str]
    vocabulary_hash: str
    thresholds: list[float]
    embedding_dim: int
    settings: dict[str, Any]
    settings_hash: str
    roots: list[str]
    inputs: int
    inputs_hash: str = ""
    repeated: int = 0
    plan: str = ""
    calibration: Calibration | None = None
    parts: int = 0
    successes: int = 0
    failures: dict[str, int] = {}
    hash: str = ""


def read_annotations_manifest(folder: Path) -> AnnotationsManifest:
    """Read and check the manifest of annotations.

    Raises:
        UsageError: `folder` holds none.
        IntegrityError: it is damaged, or of another version.
    """
    path = folder / "manifest.json"
    manifest = read_json(path, AnnotationsManifest, "an annotations folder")
    if manifest.schema_version != VERSION:
        older = manifest.schema_version < VERSION
        raise IntegrityError(
            f"{folder} holds annotations of version {manifest.schema_version}, but version {VERSION} is known; "
            + ("annotate again with --on-existing overwrite" if older else "a newer aaam-pipe reads them")
        )
    check_seal(path, manifest)
    return manifest


def part_path(folder: Path, number: int) -> Path:
    """Return where part number `number` of annotations lies."""
    return folder / f"part-{number:05d}.parquet"


def stats_path(part: Path) -> Path:
    """Return where the stats of a part lie."""
    return part.with_name(f"{part.stem}_stats.json")


def read_stats(part: Path) -> PartStats:
    """Read the stats of a part.

    Raises:
        UsageError, IntegrityError: they are not there, or damaged.
    """
    path = stats_path(part)
    stats = read_json(path, PartStats, "an annotations folder")
    check_seal(path, stats)
    return stats


def annotations(num_labels: int, embedding_dim: int) -> pa.Schema:
    """Return the schema of an annotations part. Failed rows have nulls from `taken` on, but for the error's columns.

    `taken`: when the photograph was taken, by the camera's clock (EXIF); `taken_offset`: that clock's minutes east of
    UTC. Null where the file does not tell.
    """
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("root", pa.string(), nullable=False),
            ("sha256", pa.string()),
            ("bytes", pa.int64()),
            ("mtime", pa.timestamp("us", tz="UTC")),
            ("taken", pa.timestamp("us")),
            ("taken_offset", pa.int16()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            pa.field("status", pa.string(), nullable=False),
            ("error_type", pa.string()),
            ("error_message", pa.string()),
            ("labels", pa.list_(pa.string())),
            ("label_scores", pa.list_(pa.float32())),
            ("scores", pa.list_(pa.float16(), num_labels)),
            ("embedding", pa.list_(pa.float16(), embedding_dim)),
            pa.field("model_id", pa.string(), nullable=False),
        ],
        metadata={"aaam_schema_version": str(VERSION)},
    )


def half(embedding_ND: NDArray[np.floating]) -> NDArray[np.float16]:
    """Return embeddings as float16, too large values at its limit."""
    return embedding_ND.clip(-HALF, HALF).astype(np.float16)


def fixed_list(rows_ND: NDArray[Any]) -> pa.Array:
    """Return a 2-d array as an Arrow column of fixed-size lists."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(rows_ND).reshape(-1)), rows_ND.shape[1])


def rows(column: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    """Return a null-free column of fixed-size lists as a 2-d array."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat: NDArray[Any] = array.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(array), array.type.list_size)


def write_scores(path: Path, split: ScoredSplit) -> None:
    """Write `scores.parquet`, atomically and with the same bytes for the same content."""
    split = split._replace(
        scores_NL=np.ascontiguousarray(split.scores_NL, np.float32),
        targets_NL=np.ascontiguousarray(split.targets_NL, np.uint8),
        embedding_ND=None if split.embedding_ND is None else np.ascontiguousarray(half(split.embedding_ND)),
    )
    metadata = {
        "aaam_schema_version": str(VERSION),
        "labels": msgspec.json.encode(split.labels),
        "k": str(split.k),
        "sha256": _content_sha256(split),
    }
    metadata |= {name: msgspec.json.encode(each) for name in MAYBE if (each := getattr(split, name))}
    columns = {
        "image_id": pa.array(split.image_ids, pa.string()),
        "scores": fixed_list(split.scores_NL),
        "targets": fixed_list(split.targets_NL),
    }
    if split.embedding_ND is not None:
        columns["embedding"] = fixed_list(split.embedding_ND)
    write_table(path, pa.table(columns).replace_schema_metadata(metadata))


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file, atomically and with the same bytes for the same content."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(path, sink.getvalue())


def read_scores(path: Path) -> ScoredSplit:
    """Read `scores.parquet`.

    Raises:
        IntegrityError: the file is damaged or holds something else.
    """
    try:
        table = pq.read_table(path)
        metadata = table.schema.metadata or {}
        labels = msgspec.json.decode(metadata[b"labels"], type=list[str])
        # an embedding may follow
        if not pa.schema(list(table.schema)[:3]).equals(_scores(len(labels))):
            raise IntegrityError(f"{path} is not a scores file: its columns are others, or of another width")
        split = ScoredSplit(
            table["image_id"].to_pylist(), rows(table["scores"]), rows(table["targets"]), labels, int(metadata[b"k"]),
            msgspec.json.decode(metadata.get(b"calibration", b"null"), type=Calibration | None),
            rows(table["embedding"]) if "embedding" in table.column_names else None,
            msgspec.json.decode(metadata.get(b"neighbours", b"null"), type=Neighbours | None),
        )  # fmt: skip
    except (OSError, pa.ArrowException, KeyError, ValueError, AttributeError) as error:
        raise IntegrityError(f"{path} is not a scores file: {error}") from None
    if metadata.get(b"sha256") != _content_sha256(split).encode():
        raise IntegrityError(f"{path} was changed, or is of another version: its SHA-256 is not that of what it holds")
    if not ((split.scores_NL >= 0) & (split.scores_NL <= 1)).all():
        raise IntegrityError(f"{path} holds scores that are no probabilities")
    if split.calibration and not split.calibration.fits(len(labels)):
        raise IntegrityError(f"{path}: its calibration is not of {len(labels)} labels")
    return split


def _scores(num_labels: int) -> pa.Schema:
    return pa.schema(
        [
            ("image_id", pa.string()),
            ("scores", pa.list_(pa.float32(), num_labels)),
            ("targets", pa.list_(pa.uint8(), num_labels)),
        ]
    )


def _content_sha256(split: ScoredSplit) -> str:
    known = [msgspec.to_builtins(as_read(each)) for name in MAYBE if (each := getattr(split, name))]
    said = [split.image_ids, split.labels, split.k, known]
    arrays: list[NDArray[Any]] = [split.scores_NL, split.targets_NL]
    return content_sha256(said, arrays if split.embedding_ND is None else [*arrays, split.embedding_ND])


def content_sha256(said: Any, arrays: Iterable[NDArray[Any]]) -> str:
    """Return the SHA-256 of JSON-able content and arrays: Parquet has none of its own over values and metadata."""
    digest = hashlib.sha256(fingerprint(said).encode())
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()
