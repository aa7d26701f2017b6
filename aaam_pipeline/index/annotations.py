"""What an index is built from: folders of annotations, part by part.

A part is known by the SHA-256 of its file, which its stats name. A part whose size and time are those that it had when
it was indexed is not read again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aaam_pipeline.core.artifacts import file_sha256, read_json
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError, from_system
from aaam_pipeline.core.portable_paths import is_located, located
from aaam_pipeline.formats.assignment import Assignment
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.formats.older_parts import schema_of, to_current
from aaam_pipeline.formats.parts import (
    AnnotationsManifest,
    find_manifest,
    part_path,
    read_annotations_manifest,
    read_stats,
)
from aaam_pipeline.formats.roots import MovedRoot, apply_all
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.index.manifest import PARTS, IndexManifest

BATCH_ROWS = 16384
AGAIN = "annotate again with --on-existing overwrite"


class AnnotationsFolder(NamedTuple):
    """A folder of annotations and its manifest."""

    path: Path
    manifest: AnnotationsManifest


class IndexedPart(msgspec.Struct, frozen=True):
    """A part of annotations as it was indexed. `rows`: of inputs, `annotated`: those that did not fail.

    `links`: whether links lead to some of them; `merged`: which of the annotated ones are left out, since another row
    of their file stays (`merging`); `roots`: places whose rows have another name in the index.
    """

    path: str
    sha256: str
    bytes: int
    mtime_ns: int
    rows: int
    annotated: int
    links: bool = False
    merged: list[int] = []
    roots: list[MovedRoot] = []

    @property
    def images(self) -> int:
        """How many of its rows are images of the index."""
        return self.annotated - len(self.merged)


def open_folders(paths: Sequence[Path]) -> list[AnnotationsFolder]:
    """Return folders of annotations that one index can be built from.

    Raises:
        UsageError: one is no annotations folder, they are of several models, calibrations or thresholds, or none holds
            an annotated image.
        IntegrityError: a manifest is damaged, or of a version that is not known.
    """
    folders = [AnnotationsFolder(path, read_annotations_manifest(path)) for path in paths]
    first = folders[0]
    for path, manifest in folders:
        if Vocabulary(manifest.vocabulary).hash != manifest.vocabulary_hash:
            raise IntegrityError(f"{find_manifest(path)}: the vocabulary was changed; {AGAIN}")
        if embedding_of(manifest.model_id) == embedding_of(first.manifest.model_id) and (
            (manifest.model_id, manifest.vocabulary) != (first.manifest.model_id, first.manifest.vocabulary)
        ):
            raise UsageError(
                f"{path} was annotated with {manifest.model_id}, but {first.path} with {first.manifest.model_id}: the "
                "same embedding with other labels, calibration or last layer. Their scores cannot be compared; "
                "relabel one with the --model of the other, or build an index of each"
            )
        if (manifest.model_id, manifest.vocabulary) != (first.manifest.model_id, first.manifest.vocabulary):
            raise UsageError(
                f"{path} was annotated with {manifest.model_id}, but {first.path} with {first.manifest.model_id}: "
                "scores of different models cannot be compared; annotate again with one"
            )
        if manifest.calibration != first.manifest.calibration:
            raise UsageError(
                f"{path} and {first.path} were annotated with different calibrations of {manifest.model_id}: their "
                "scores cannot be compared; annotate again with one"
            )
        if (rule := _assignment(manifest)) != _assignment(first.manifest):
            raise UsageError(
                f"{path} was annotated with {_said(rule)}, but {first.path} with {_said(_assignment(first.manifest))}: "
                "their labels do not mean the same; relabel one of them, with equal --threshold and --top, or "
                "build an index of each"
            )
    if not any(folder.manifest.successes for folder in folders):
        inputs = sum(folder.manifest.inputs for folder in folders)
        named = ", ".join(str(folder.path) for folder in folders)
        raise UsageError(f"{named} holds no annotated image: {inputs} of {inputs} failed")
    return folders


def _assignment(manifest: AnnotationsManifest) -> tuple[list[float] | None, int | None]:
    """Return by which thresholds (L,) labels were assigned, None: by none, and how many an image got at most."""
    rule = Assignment.of(manifest.settings, manifest.thresholds)
    best = rule.top is not None and rule.threshold is None and rule.thresholds is None
    return None if best else rule.limits(manifest.thresholds), rule.top


def _said(rule: tuple[list[float] | None, int | None]) -> str:
    thresholds, top = rule
    if thresholds is None:
        return f"the best {top} labels"
    least, greatest = min(thresholds), max(thresholds)
    limits = f"a threshold of {least:g}" if least == greatest else f"thresholds from {least:g} to {greatest:g}"
    return limits + ("" if top is None else f" and at most {top} labels")


def changed_since(index: Path, manifest: IndexManifest) -> list[Path]:
    """Return the folders an index was built from that have other rows, or those of another model, by now.

    A folder that is gone or damaged is none of them: an index holds all it needs.
    """
    found = []
    indexed = {part.sha256 for part in read_json(index / PARTS, list[IndexedPart], "an index")}
    for folder in (Path(located(text, index)) for text in manifest.annotations):
        try:
            now = read_annotations_manifest(folder)
            parts = {read_stats(part_path(folder, number)).sha256 for number in range(now.parts)}
        except (AaamError, OSError):
            continue
        if now.model_id != manifest.model_id or parts - indexed:
            found.append(folder)
    return found


def find_parts(
    folder: AnnotationsFolder, known: Mapping[str, IndexedPart], moved_roots: Sequence[MovedRoot] = ()
) -> list[IndexedPart]:
    """Return the parts of a folder, checked; `known`: those that were indexed before, by hash.

    `moved_roots`: places whose rows get another name in the index.

    Raises:
        IntegrityError: a part is missing or damaged, or the parts and the manifest do not agree.
    """
    found = [_part(part_path(folder.path, number), known, moved_roots) for number in range(folder.manifest.parts)]
    images, rows = sum(part.annotated for part in found), sum(part.rows for part in found)
    manifest = folder.manifest
    if (images, rows) != (manifest.successes, manifest.inputs):
        raise IntegrityError(
            f"{folder.path} holds {images} annotated of {rows} rows, but its manifest says {manifest.successes} of "
            f"{manifest.inputs}; {AGAIN}"
        )
    return found


def _part(path: Path, known: Mapping[str, IndexedPart], moved: Sequence[MovedRoot]) -> IndexedPart:
    try:
        stats, status = read_stats(path), path.stat()
    except (UsageError, FileNotFoundError):
        raise IntegrityError(f"{path} is missing, or its stats are; {AGAIN}") from None
    part = IndexedPart(
        path=str(path.absolute()),
        sha256=stats.sha256,
        bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        rows=stats.count,
        annotated=stats.successes,
        roots=list(moved),
    )
    before = known.get(part.sha256)
    if before and (before.bytes, before.mtime_ns) == (part.bytes, part.mtime_ns):
        return msgspec.structs.replace(part, links=before.links)
    if file_sha256(path) != part.sha256:
        raise IntegrityError(f"{path} is damaged: not the file that its stats name; {AGAIN}")
    return msgspec.structs.replace(part, links=_has_links(path))


def _has_links(path: Path) -> bool:
    """Return whether a part has a `link_target` that is not null."""
    try:
        # absolute: pyarrow takes a relative name such as `s3:x` for a URL
        metadata = pq.read_metadata(path.absolute())
    except (OSError, pa.ArrowException):
        # found where its rows are read
        return False
    names = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    if "link_target" not in names:
        return False
    columns = (metadata.row_group(each).column(names.index("link_target")) for each in range(metadata.num_row_groups))
    return any(not each.statistics or each.statistics.null_count < each.num_values for each in columns)


def with_roots(rows: pa.RecordBatch, rooted: Callable[[str], str]) -> pa.RecordBatch:
    """Return rows with another root in place of each that is relative."""
    roots = rows["root"].dictionary_encode()
    names = roots.dictionary.to_pylist()
    if all(map(is_located, names)):
        return rows
    renamed = pa.array([name if is_located(name) else rooted(name) for name in names], pa.string())
    return rows.set_column(rows.schema.get_field_index("root"), rows.schema.field("root"), renamed.take(roots.indices))


def annotated_rows(part: IndexedPart, manifest: AnnotationsManifest) -> Iterator[pa.RecordBatch]:
    """Yield the annotated (not failed) rows of a part that are not merged in order, in the current version.

    Raises:
        IntegrityError: they are not of the manifest's schema and model, or not as many as the stats say.
    """
    expected = schema_of(manifest.schema_version, len(manifest.vocabulary), manifest.embedding_dim)
    rows = count = 0
    try:
        with pq.ParquetFile(part.path) as file:
            if not file.schema_arrow.equals(expected):
                raise IntegrityError(f"{part.path} has another schema than its manifest says; {AGAIN}")
            for batch in file.iter_batches(BATCH_ROWS):
                if pc.any(pc.not_equal(batch["model_id"], manifest.model_id)).as_py():
                    raise IntegrityError(f"{part.path} holds rows of another model than {manifest.model_id}")
                annotated = batch.filter(pc.equal(batch["status"], "ok"))
                first, rows, count = count, rows + batch.num_rows, count + annotated.num_rows
                if part.merged:
                    annotated = annotated.filter(pa.array(~np.isin(np.arange(first, count), part.merged)))
                if annotated.num_rows:
                    yield _renamed(to_current(annotated), part.roots)
    except (OSError, pa.ArrowException) as error:
        if from_system(error):
            raise
        raise IntegrityError(f"{part.path} is missing or damaged: {error}") from None
    if (count, rows) != (part.annotated, part.rows):
        raise IntegrityError(
            f"{part.path} holds {count} annotated of {rows} rows, but its stats say {part.annotated} of {part.rows}; "
            f"{AGAIN}"
        )


def _renamed(rows: pa.RecordBatch, moved: Sequence[MovedRoot]) -> pa.RecordBatch:
    renamed = apply_all(moved, pa.Table.from_batches([rows])) if moved else None
    return rows if renamed is None else renamed.combine_chunks().to_batches()[0]
