"""Image features of a data set, computed once for all methods: what lies in `features/<data set>`.

Shapes: N images of a split, D features, L labels.

    train.npy, val.npy, test.npy     float32 (N, D), to be memory-mapped; rows in the order of the prepared split
    manifest.json                    what they are of, and size and SHA-256 of the files; checksummed
"""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.baselines.base import Features, Targets
from aaam_pipeline.core.artifacts import read_checksummed
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.datasets.listing import SPLITS
from aaam_pipeline.datasets.prepared import content_fingerprint, read_split

FORMAT, VERSION = "aaam-pipe features", 1


class FeatureFile(msgspec.Struct):
    """Images in a file, its size and SHA-256."""

    images: int
    bytes: int
    sha256: str


class FeaturesManifest(msgspec.Struct):
    """What the features are of.

    `model`: the id of a bundle, or the name of an ImageNet backbone; `architecture`, `preprocess`: as in a bundle;
    `weights_sha256`: of all weights; `prepared`: the hash of the prepared data set's manifest; `files`: by split.
    """

    format: str
    version: int
    dataset: str
    model: str
    architecture: dict[str, Any]
    preprocess: dict[str, Any]
    weights_sha256: str
    prepared: str
    dimension: int
    files: dict[str, FeatureFile]
    hash: str = ""


class FeatureSplit(NamedTuple):
    """A split for the methods: `features_ND` (memory-mapped) and `targets_NL`, in the same order."""

    image_ids: list[str]
    features_ND: Features
    targets_NL: Targets


def read_manifest(folder: Path) -> FeaturesManifest:
    """Return the manifest of a folder of features.

    Raises:
        UsageError: it is none.
        IntegrityError: it was changed, is of another version, or a file has another size.
    """
    path = folder / "manifest.json"

    def outdated(manifest: FeaturesManifest) -> str:
        known = (manifest.format, manifest.version) == (FORMAT, VERSION)
        return "" if known else f"{path} is of another version of this program; compute the features again"

    manifest = read_checksummed(path, FeaturesManifest, "a folder of features", outdated)
    for split, info in manifest.files.items():
        file = folder / f"{split}.npy"
        if not file.is_file() or file.stat().st_size != info.bytes:
            raise IntegrityError(f"{file} is not what {path} says; compute the features again")
    return manifest


def read_splits(folder: Path, prepared: Path) -> dict[str, FeatureSplit]:
    """Open the features of a prepared data set; nothing is read of them before it is used.

    Raises:
        UsageError, DatasetError, IntegrityError: one of both is missing or damaged, or they do not belong together.
    """
    manifest = read_manifest(folder)
    if manifest.prepared != content_fingerprint(prepared):
        raise IntegrityError(f"{folder} is of other pictures than {prepared}; compute the features again")
    splits = {}
    for name in SPLITS:
        split = read_split(prepared, name)
        features_ND: NDArray[np.float32] = np.load(folder / f"{name}.npy", mmap_mode="r")
        if features_ND.shape != (len(split.image_ids), manifest.dimension) or features_ND.dtype != np.float32:
            file = folder / f"{name}.npy"
            raise IntegrityError(f"{file} has not the shape that its manifest says; compute the features again")
        splits[name] = FeatureSplit(split.image_ids, features_ND, split.targets_NL)
    return splits
