"""`index/manifest.json`: what an index holds, and what it was built from.

It carries a hash of itself, so that a change in it, of a label for instance, is detected.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path

import msgspec

from aaam_pipeline.core.artifacts import file_sha256, read_checksummed, write_checksummed
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError, VersionError
from aaam_pipeline.formats.words import LEAST_AP, WordSupport, weaknesses

VERSION = 7
READABLE = (4, 5, 6, VERSION)
"""Version 6 has no `digest`; version 5 no `unfamiliar` either; version 4 moreover no `phash` and `link_target`, `taken`
for `captured_at`, and a byte for a score."""
DIGEST = "TRY_CAST('0x' || sha256[1:16] AS UBIGINT)"
"""`digest` of an image, as SQL. A million numbers are read in 7 ms, a million texts of 64 digits in 200."""
SCORES = "scores.duckdb"
VECTORS = "vectors.faiss"
PARTS = "parts.json"
TAUGHT = "taught.codes"
FILES = (SCORES, VECTORS, PARTS)
"""What every index has; `TAUGHT` is there where words were taught."""


class VectorsInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the vectors are stored, and which share of the nearest neighbours is found.

    `kind`: `flat` compares all, `ivf` those of the `probes` nearest of `lists`; `codec`: `fp16`, or `sq8` for 8 bits a
    number; `recall`: share of the 10 nearest that is found, measured when the index was built; `codec_recall`: the same
    of all lists, so what the codec alone loses; `trained`: the number of images that the lists were chosen for.
    """

    kind: str
    codec: str
    lists: int = 0
    probes: int = 0
    recall: float = 1.0
    codec_recall: float = 1.0
    trained: int = 0


class TaughtColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A taught word as an index holds it: `digest` identifies its line; `images`: how many reach its threshold."""

    label: str
    digest: str
    threshold: float
    images: int
    origin: str
    ap: float
    low: float
    high: float

    @property
    def weakness(self) -> str:
        """Say in one phrase why the word is known badly; "" where it may be well known.

        `ap` is an estimate, too low for frequent words: among the photographs that it counts as wrong some show
        the word. So the upper end of the interval decides.
        """
        return f"{self.origin}, AP {self.ap:.2f} ({self.low:.2f} to {self.high:.2f})" if self.high < LEAST_AP else ""


class IndexManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents and the origin of an index.

    `failed`, `merged`: rows that are no images of it: of inputs that failed, and of files that another row stands for;
    `label_counts`: images that were assigned each label; `words`: how well the model knows each, empty where it does
    not say; `judged`, `unfamiliar`: images of which it is known whether the model finds them unfamiliar, and those that
    are; `taught`: the words that the person taught, in the order of the rows of `TAUGHT`; `annotations`: the folders it
    was built from; `files`, `sha256`: size in bytes and hash by name; `hash`: of all
    that, filled in by `write`.
    """

    schema_version: int
    model_id: str
    model_path: str
    vocabulary: list[str]
    thresholds: list[float]
    label_counts: list[int]
    embedding_dim: int
    images: int
    failed: int
    annotations: list[str]
    vectors: VectorsInfo
    merged: int = 0
    words: list[WordSupport] = []
    judged: int = 0
    unfamiliar: int = 0
    taught: list[TaughtColumn] = []
    files: dict[str, int] = {}
    sha256: dict[str, str] = {}
    hash: str = ""

    @property
    def labels(self) -> list[str]:
        """Return all words that can be searched: the model's, then those that were taught."""
        return [*self.vocabulary, *(column.label for column in self.taught)]

    @property
    def weak(self) -> dict[str, str]:
        """Return the words that are known badly, each with why."""
        taught = {column.label: column.weakness for column in self.taught if column.weakness}
        return weaknesses(self.vocabulary, self.words) | taught


def is_index(folder: Path) -> bool:
    """Return whether a folder is meant to be an index, damaged or not."""
    return any((folder / name).exists() for name in (SCORES, VECTORS))


def read(folder: Path) -> IndexManifest:
    """Read and check the manifest of an index, and that its files are there in the size it names.

    Raises:
        UsageError: `folder` is no index.
        VersionError: it is an index of another version of this program.
        IntegrityError: the manifest or a file is damaged.
    """
    if not is_index(folder) and any(folder.glob("part-*.parquet")):
        raise UsageError(f"{folder} holds annotations, not an index; aaam-pipe index {folder} builds an index of them")

    def outdated(manifest: IndexManifest) -> str:
        if manifest.schema_version in READABLE:
            return ""
        if manifest.schema_version < VERSION:
            return f"{folder} was built by an older version of aaam-pipe; {rebuilding(folder)}"
        return f"{folder} was built by a newer version of aaam-pipe: use that, or build an index with another --out"

    manifest = read_checksummed(folder / "manifest.json", IndexManifest, "an index", outdated)
    for name, size in manifest.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise IntegrityError(f"{path} is missing or damaged; {rebuilding(folder)}")
    return manifest


def rebuilding(folder: Path) -> str:
    """Return how a damaged index is built again, in words."""
    return f"build the index again with aaam-pipe index --out {shlex.quote(str(folder))}"


def refuse_newer(folder: Path) -> None:
    """Check that no index lies in `folder` that a newer version of this program built: it must not be replaced.

    Raises:
        VersionError: one does.
    """
    try:
        read(folder)
    except VersionError:
        found = msgspec.json.decode((folder / "manifest.json").read_bytes())
        version = found.get("schema_version")
        if not isinstance(version, int) or version >= VERSION:
            raise
    except (AaamError, OSError):
        return


def write(folder: Path, manifest: IndexManifest, known: Mapping[str, str] | None = None) -> IndexManifest:
    """Write the manifest of the files that are in `folder`, with its own hash, atomically; return it.

    `known`: hashes of files that are known; that of `TAUGHT` never is.
    """
    files = [folder / name for name in (*FILES, TAUGHT) if name != TAUGHT or manifest.taught]
    hashes = {name: known[name] for name in FILES} if known else {}
    filled = msgspec.structs.replace(
        manifest,
        files={file.name: file.stat().st_size for file in files},
        sha256={file.name: hashes.get(file.name) or file_sha256(file) for file in files},
    )
    return write_checksummed(folder / "manifest.json", filled)
