"""`index/manifest.json`: what an index holds, and what it was built from."""

from pathlib import Path

import msgspec

from aaam_pipeline.core.artifacts import read_json
from aaam_pipeline.core.errors import IntegrityError

VERSION = 2
SCORES = "scores.duckdb"
VECTORS = "vectors.faiss"


class IndexManifest(msgspec.Struct, frozen=True):
    """The facts of an index. `label_counts`: images that were assigned each label; `files`: size in bytes by name."""

    schema_version: int
    model_id: str
    model_path: str
    vocabulary: list[str]
    thresholds: list[float]
    label_counts: list[int]
    embedding_dim: int
    images: int
    failed: int
    annotations: str
    files: dict[str, int]


def read(folder: Path) -> IndexManifest:
    """Read and check the manifest of an index, and that its files are there in the size it names.

    Raises:
        UsageError: `folder` is no index.
        IntegrityError: the manifest or a file is damaged.
    """
    manifest = read_json(folder / "manifest.json", IndexManifest, "an index")
    if manifest.schema_version != VERSION:
        raise IntegrityError(
            f"{folder}: index version {manifest.schema_version}, but {VERSION} is known; build it again"
        )
    for name, size in manifest.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise IntegrityError(f"{path} is missing or damaged; build the index again with aaam-pipe index")
    return manifest
