"""`annotations/`: parts with a row for every input image, the stats beside each, and the manifest of all.

A row's scores are probabilities in [0, 1]. Shapes: L labels, D embedding.
"""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from aaam_pipeline.core.artifacts import read_checksummed
from aaam_pipeline.formats import SCHEMA_VERSION
from aaam_pipeline.formats.calibration import Calibration


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

    def outdated(manifest: AnnotationsManifest) -> str:
        if manifest.schema_version == SCHEMA_VERSION:
            return ""
        older = manifest.schema_version < SCHEMA_VERSION
        return (
            f"{folder} holds annotations of version {manifest.schema_version}, but version {SCHEMA_VERSION} is known; "
            + ("annotate again with --on-existing overwrite" if older else "a newer aaam-pipe reads them")
        )

    return read_checksummed(folder / "manifest.json", AnnotationsManifest, "an annotations folder", outdated)


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
    return read_checksummed(stats_path(part), PartStats, "an annotations folder")


def annotations_schema(num_labels: int, embedding_dim: int) -> pa.Schema:
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
        metadata={"aaam_schema_version": str(SCHEMA_VERSION)},
    )
