"""What an index is built from: folders of annotations, part by part.

A part is known by the SHA-256 of its file, which its stats name. A part whose size and time are those that it had when
it was indexed is not read again.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.formats.parts import (
    AnnotationsManifest,
    annotations_schema,
    part_path,
    read_annotations_manifest,
    read_stats,
)
from aaam_pipeline.formats.vocabulary import Vocabulary

BATCH_ROWS = 16384


class Source(NamedTuple):
    """A folder of annotations and its manifest."""

    folder: Path
    manifest: AnnotationsManifest


class Part(msgspec.Struct, frozen=True):
    """A file of annotations. `rows`: of inputs, `images`: those that were annotated (not failed)."""

    path: str
    sha256: str
    bytes: int
    mtime_ns: int
    rows: int
    images: int


def open_sources(folders: Sequence[Path]) -> list[Source]:
    """Return folders of annotations that one index can be built from.

    Raises:
        UsageError: one is no annotations folder, they are of several models, or none holds an annotated image.
        IntegrityError: a manifest is damaged, or of a version that is not known.
    """
    sources = [Source(folder, read_annotations_manifest(folder)) for folder in folders]
    first = sources[0]
    for folder, manifest in sources:
        if Vocabulary(manifest.vocabulary).hash != manifest.vocabulary_hash:
            raise IntegrityError(f"{folder}/manifest.json: the vocabulary was changed; annotate again")
        if (manifest.model_id, manifest.vocabulary) != (first.manifest.model_id, first.manifest.vocabulary):
            raise UsageError(
                f"{folder} was annotated with {manifest.model_id}, but {first.folder} with {first.manifest.model_id}: "
                "scores of different models cannot be compared; annotate again with one"
            )
        if manifest.calibration != first.manifest.calibration:
            raise UsageError(
                f"{folder} and {first.folder} were annotated with different calibrations of {manifest.model_id}: their "
                "scores cannot be compared; annotate again with one"
            )
    if not any(source.manifest.successes for source in sources):
        inputs = sum(source.manifest.inputs for source in sources)
        named = ", ".join(str(source.folder) for source in sources)
        raise UsageError(f"{named} holds no annotated image: {inputs} of {inputs} failed")
    return sources


def parts(source: Source, known: Mapping[str, Part]) -> list[Part]:
    """Return the parts of a folder; `known`: those that were indexed before, by hash.

    Raises:
        IntegrityError: a part is missing or damaged, or the parts and the manifest do not agree.
    """
    found = [_part(part_path(source.folder, number), known) for number in range(source.manifest.parts)]
    images, rows = sum(part.images for part in found), sum(part.rows for part in found)
    said = source.manifest
    if (images, rows) != (said.successes, said.inputs):
        raise IntegrityError(
            f"{source.folder} holds {images} annotated of {rows} rows, but its manifest says {said.successes} of "
            f"{said.inputs}; annotate again"
        )
    return found


def _part(path: Path, known: Mapping[str, Part]) -> Part:
    try:
        stats, facts = read_stats(path), path.stat()
    except (UsageError, OSError):
        raise IntegrityError(f"{path} is missing, or its stats are; annotate again") from None
    part = Part(
        path=str(path.absolute()),
        sha256=stats.sha256,
        bytes=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        rows=stats.count,
        images=stats.successes,
    )
    before = known.get(part.sha256)
    untouched = before and (before.bytes, before.mtime_ns) == (part.bytes, part.mtime_ns)
    if not untouched and file_sha256(path) != part.sha256:
        raise IntegrityError(f"{path} is damaged: not the file that its stats name; annotate again")
    return part


def images(part: Part, source: AnnotationsManifest) -> Iterator[pa.RecordBatch]:
    """Yield the annotated (not failed) rows of a part in order.

    Raises:
        IntegrityError: they are not of the manifest's schema and model, or not as many as the stats say.
    """
    expected = annotations_schema(len(source.vocabulary), source.embedding_dim)
    rows = count = 0
    try:
        with pq.ParquetFile(part.path) as file:
            if not file.schema_arrow.equals(expected):
                raise IntegrityError(f"{part.path} has another schema than its manifest says; annotate again")
            for batch in file.iter_batches(BATCH_ROWS):
                if pc.any(pc.not_equal(batch["model_id"], source.model_id)).as_py():
                    raise IntegrityError(f"{part.path} holds rows of another model than {source.model_id}")
                annotated = batch.filter(pc.equal(batch["status"], "ok"))
                rows, count = rows + batch.num_rows, count + annotated.num_rows
                if annotated.num_rows:
                    yield annotated
    except (OSError, pa.ArrowException) as error:
        raise IntegrityError(f"{part.path} is missing or damaged: {error}") from None
    if (count, rows) != (part.images, part.rows):
        raise IntegrityError(
            f"{part.path} holds {count} annotated of {rows} rows, but its stats say {part.images} of {part.rows}; "
            "annotate again"
        )
