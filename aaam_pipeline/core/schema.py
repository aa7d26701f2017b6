"""Everything that flows between rooms as Parquet or as a manifest, with its version.

Shapes: L labels, D embedding. Scores are probabilities in [0, 1].

- `scores.parquet`: one row an image of a split, written by training (and by every compared method), read by evaluation.
- `annotations/part-*.parquet`: one row for every input image, written by annotate, read by index and by anyone else.
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import read_json, write_bytes
from aaam_pipeline.core.errors import IntegrityError

VERSION = 1


class ScoredSplit(NamedTuple):
    """A split with a method's scores: `scores_NL` float32, `targets_NL` uint8, the vocabulary, labels an image k."""

    image_ids: list[str]
    scores_NL: NDArray[np.float32]
    targets_NL: NDArray[np.uint8]
    labels: list[str]
    k: int


class PartStats(msgspec.Struct, frozen=True):
    """`part-00000_stats.json`: written after its part was closed, so its presence says that the part is whole.

    `inputs_hash` (hex) stands for the root, path, size and time of every row; those of several parts add up mod 2^128.
    """

    count: int
    successes: int
    failures: dict[str, int]
    seconds: float
    sha256: str
    inputs_hash: str


class AnnotationsManifest(msgspec.Struct, frozen=True):
    """`annotations/manifest.json`: what was annotated, with which model and settings.

    `inputs_hash`: the sum of the parts' (`PartStats`); `repeated`: inputs that a list names once more; `plan`: the run
    that wrote it.
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
    parts: int = 0
    successes: int = 0
    failures: dict[str, int] = {}


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
    return read_json(stats_path(part), PartStats, "an annotations folder")


def annotations(num_labels: int, embedding_dim: int) -> pa.Schema:
    """Return the schema of an annotations part. Failed rows have nulls from `width` on, but for the error's columns."""
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("root", pa.string(), nullable=False),
            ("sha256", pa.string()),
            ("bytes", pa.int64()),
            ("mtime", pa.timestamp("us", tz="UTC")),
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
    metadata = {"aaam_schema_version": str(VERSION), "labels": msgspec.json.encode(split.labels), "k": str(split.k)}
    table = pa.table(
        {
            "image_id": pa.array(split.image_ids, pa.string()),
            "scores": fixed_list(split.scores_NL.astype(np.float32)),
            "targets": fixed_list(split.targets_NL.astype(np.uint8)),
        }
    ).replace_schema_metadata(metadata)
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
        split = ScoredSplit(
            table["image_id"].to_pylist(), rows(table["scores"]), rows(table["targets"]), labels, int(metadata[b"k"])
        )
    except (OSError, pa.ArrowException, KeyError, ValueError, AttributeError) as error:
        raise IntegrityError(f"{path} is not a scores file: {error}") from None
    if split.scores_NL.shape != split.targets_NL.shape or split.scores_NL.shape[1] != len(labels):
        raise IntegrityError(f"{path}: {split.scores_NL.shape} scores do not fit {len(labels)} labels")
    return split
