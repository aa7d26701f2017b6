"""`annotations/`: parts with a row for every input image, the stats beside each, and the manifest of all.

    part-00000.parquet    rows; whatever reads a folder of Parquet files finds these alone:
    _part-00000.json      the stats of a part
    _manifest.json        names that begin with _ are no data to pandas, pyarrow and Spark

A row's scores are probabilities in [0, 1]. Shapes: N rows, L labels, D embedding.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import read_checksummed
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.formats.columns import round_mantissa, to_float16
from aaam_pipeline.formats.words import WordSupport

VERSION = 3
# `older_parts` reads rows of the older ones as rows of this one
READABLE = (2, VERSION)
# of the files of a folder, those of version 2 included
NAMES = ("part-*", "_part-*.json", "_manifest.json", "manifest.json")


class PartStats(msgspec.Struct, frozen=True):
    """`_part-00000.json`: written after its part was closed, so its presence says that the part is whole.

    `inputs_hash` (hex) stands for the root, path, size and time of every row; those of several parts add up mod 2^128.
    `judged`, `unfamiliar`: rows whose `unfamiliar` is not null, and true. `seconds`: in version 2, how long it took to
    make. `hash`: of all other fields, filled in when it is written.
    """

    count: int
    successes: int
    failures: dict[str, int]
    sha256: str
    inputs_hash: str
    judged: int = 0
    unfamiliar: int = 0
    seconds: float | msgspec.UnsetType = msgspec.UNSET
    hash: str = ""


class AnnotationsManifest(msgspec.Struct, frozen=True):
    """`annotations/_manifest.json`: what was annotated, with which model and settings.

    `inputs_hash`: the sum of the parts' (`PartStats`); `repeated`: inputs that a list names once more; `plan`: the run
    that wrote it; `calibration`: the model's, by which the scores of the rows were calibrated; `words`: how well the
    model knows each label, empty where it does not say; `judged`, `unfamiliar`: rows that say whether their picture is
    unfamiliar, and those that say it is; `hash`: of all other fields, filled in when it is written.
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
    words: list[WordSupport] = []
    parts: int = 0
    successes: int = 0
    failures: dict[str, int] = {}
    judged: int = 0
    unfamiliar: int = 0
    hash: str = ""


def read_annotations_manifest(folder: Path) -> AnnotationsManifest:
    """Read and check the manifest of annotations.

    Raises:
        UsageError: `folder` holds none.
        VersionError: it is of a version that is not read.
        IntegrityError: it is damaged, or lost: parts are there.
    """
    if (folder / "vectors.faiss").exists():
        raise UsageError(f"{folder} is an index, not an annotations folder; it was built from annotations, give those")

    if is_without_manifest(folder):
        raise IntegrityError(f"{folder} has parts of annotations, but its manifest is missing: no _manifest.json")

    def outdated(manifest: AnnotationsManifest) -> str:
        if manifest.schema_version in READABLE:
            return ""
        older = manifest.schema_version < VERSION
        return f"{folder} holds annotations of version {manifest.schema_version}, but version {VERSION} is known; " + (
            "annotate again with --on-existing overwrite" if older else "a newer aaam-pipe reads them"
        )

    return read_checksummed(find_manifest(folder), AnnotationsManifest, "an annotations folder", outdated)


def part_path(folder: Path, number: int) -> Path:
    """Return where part number `number` of annotations lies."""
    return folder / f"part-{number:05d}.parquet"


def manifest_path(folder: Path) -> Path:
    """Return where the manifest of annotations is written."""
    return folder / "_manifest.json"


def find_manifest(folder: Path) -> Path:
    """Return where the manifest of annotations lies, those of version 2 included."""
    return _existing(manifest_path(folder), folder / "manifest.json")


def is_without_manifest(folder: Path) -> bool:
    """Return whether a folder holds parts and their stats, but no manifest: it was lost."""
    return not find_manifest(folder).exists() and any(
        find_stats(part).is_file() for part in folder.glob("part-*.parquet")
    )


def stats_path(part: Path) -> Path:
    """Return where the stats of a part are written."""
    return part.with_name(f"_{part.stem}.json")


def find_stats(part: Path) -> Path:
    """Return where the stats of a part lie, those of version 2 included."""
    return _existing(stats_path(part), part.with_name(f"{part.stem}_stats.json"))


def is_current(part: Path) -> bool:
    """Return whether a part is of the current version: it can be taken over as it is."""
    return stats_path(part).is_file()


def read_stats(part: Path) -> PartStats:
    """Read the stats of a part.

    Raises:
        UsageError, IntegrityError: they are not there, or damaged.
    """
    return read_checksummed(find_stats(part), PartStats, "an annotations folder")


def annotations_schema(num_labels: int, embedding_dim: int) -> pa.Schema:
    """Return the schema of an annotations part. Failed rows have nulls from `captured_at` on, but for their error.

    `link_target`: the file that a link leads to, of the image or of a folder above it; `captured_at`: when the
    photograph was taken, by the camera's clock (EXIF); `captured_at_offset`: that clock's minutes east of UTC; `phash`:
    the perceptual hash, in hex; `unfamiliar`: whether the picture is unlike all that the model was trained with. Null
    where it is not known.
    """
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("root", pa.string(), nullable=False),
            ("link_target", pa.string()),
            ("sha256", pa.string()),
            ("bytes", pa.int64()),
            ("mtime", pa.timestamp("us", tz="UTC")),
            ("captured_at", pa.timestamp("us")),
            ("captured_at_offset", pa.int16()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("phash", pa.string()),
            pa.field("status", pa.string(), nullable=False),
            ("error_type", pa.string()),
            ("error_message", pa.string()),
            ("labels", pa.list_(pa.string())),
            ("label_scores", pa.list_(pa.float32())),
            ("scores", pa.list_(pa.float32(), num_labels)),
            ("embedding", pa.list_(pa.float32(), embedding_dim)),
            ("unfamiliar", pa.bool_()),
            pa.field("model_id", pa.string(), nullable=False),
        ],
        metadata={"aaam_schema_version": str(VERSION)},
    )


def round_scores(scores_NL: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return probabilities as rows hold them: float32, rounded to about 1/1000 of their log-odds, near 0 and near 1.

    p and 1 - p, whichever is less, keeps 10 bits behind its first one. The order is kept, 0 and 1 stay, and what is
    left out compresses to nothing. (Beside 1 the steps of float32 are coarser than that from 1 - p = 2^-14 on.)
    """
    wide_NL = np.asarray(scores_NL, np.float32)
    likely_NL = wide_NL > 0.5
    # 1 - p is exact there, and so is its way back
    least_NL = round_mantissa(np.where(likely_NL, 1 - wide_NL, wide_NL))
    rounded_NL: NDArray[np.float32] = np.where(likely_NL, 1 - least_NL, least_NL)
    return rounded_NL


def round_embedding(embedding_ND: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return embeddings as rows hold them: float32 of the precision and the range of float16."""
    return to_float16(embedding_ND).astype(np.float32)


def _existing(current: Path, older: Path) -> Path:
    return older if older.is_file() and not current.is_file() else current
