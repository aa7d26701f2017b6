"""`aaam-pipe index` and the stage `index`: annotations folders -> scores.duckdb, vectors.faiss, manifest.json."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aaam_pipeline.core import schema
from aaam_pipeline.core.artifacts import file_sha256, fingerprint, foreign, publish, read_json, work_folder
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import Advance, Reporter
from aaam_pipeline.core.vocabulary import Vocabulary
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.manifest import SCORES, VECTORS, IndexManifest
from aaam_pipeline.index.scores import ScoresBuilder
from aaam_pipeline.index.vectors import VectorsBuilder

BATCH_ROWS = 16384


class Source(NamedTuple):
    """A folder of annotations and its manifest."""

    folder: Path
    manifest: schema.AnnotationsManifest


def build(annotations: Path | Sequence[Path], out: Path, report: Reporter) -> IndexManifest:
    """Index the annotated (not failed) images of one folder or of several; the index at `out` is replaced in one step.

    An index that was built from the very same files, and is whole, is left as it is.

    Raises:
        UsageError: `annotations` are no annotations, hold no annotated image, are of several models, or hold an image
            twice; `out` cannot be written, is something else, or is being written by another process.
        IntegrityError: rows and manifest do not agree, or rows come from different models.
    """
    folders = [annotations] if isinstance(annotations, Path) else list(annotations)
    sources = [
        Source(folder, read_json(folder / "manifest.json", schema.AnnotationsManifest, "an annotations folder"))
        for folder in folders
    ]
    _check_sources(sources)
    if out.exists() and (not out.is_dir() or foreign(out, "manifest.json", f"{SCORES}*", VECTORS)):
        raise UsageError(f"{out} exists and is not an index; choose another --out")
    with exclusive(out):
        state = _state(sources)
        current = _current(out, state)
        if current:
            report.say(f"{out} is up to date")
            return current
        work = work_folder(out)
        manifest = _build(sources, state, work, report)
        publish(work, out)
    return manifest


def _state(sources: list[Source]) -> str:
    """Identify the files of annotations by name, size and time: a part that is written again is another one."""
    files = [(path, path.stat()) for source in sources for path in sorted(source.folder.iterdir())]
    return fingerprint([[str(path.absolute()), facts.st_size, facts.st_mtime_ns] for path, facts in files])


def _current(out: Path, state: str) -> IndexManifest | None:
    """Return the manifest of the index at `out` if it is that of `state` and every byte of it is as it was built."""
    try:
        manifest = manifests.read(out)
    except AaamError:
        return None
    whole = all(file_sha256(out / name) == manifest.sha256[name] for name in manifest.files)
    return manifest if manifest.state == state and whole else None


def _build(sources: list[Source], state: str, work: Path, report: Reporter) -> IndexManifest:
    """Build all files of an index in the folder `work`."""
    first = sources[0].manifest
    inputs = sum(source.manifest.inputs for source in sources)
    scores = ScoresBuilder(work / SCORES, len(first.vocabulary))
    vectors = VectorsBuilder(first.embedding_dim)
    ends = [0]
    try:
        with report.task("index", inputs) as advance:
            for source in sources:
                ends.append(_add(source, ends[-1], scores, vectors, advance))
        twice = scores.in_several(ends)
        if twice:
            raise UsageError(f"{twice} is in several of the annotations; annotate it once, or leave a folder out")
        scores.sort()
        counts = scores.label_counts(first.vocabulary)
    except duckdb.Error as error:
        raise IntegrityError(f"cannot build the index: {str(error).splitlines()[0]}") from None
    finally:
        scores.close()
    vectors.write(work / VECTORS)
    files = [work / SCORES, work / VECTORS]
    manifest = IndexManifest(
        schema_version=manifests.VERSION,
        model_id=first.model_id,
        model_path=first.model_path,
        vocabulary=first.vocabulary,
        thresholds=first.thresholds,
        label_counts=counts,
        embedding_dim=first.embedding_dim,
        images=ends[-1],
        failed=inputs - ends[-1],
        annotations=[str(source.folder.absolute()) for source in sources],
        files={file.name: file.stat().st_size for file in files},
        sha256={file.name: file_sha256(file) for file in files},
        state=state,
    )
    return manifests.write(work, manifest)


def _add(source: Source, first_id: int, scores: ScoresBuilder, vectors: VectorsBuilder, advance: Advance) -> int:
    """Add the annotated rows of a folder, with ids from `first_id` on; return the id after the last."""
    images = rows = 0
    for batch in _rows(source.folder, source.manifest):
        annotated = batch.filter(pc.equal(batch["status"], "ok"))
        if annotated.num_rows:
            scores.add(first_id + images, annotated)
            vectors.add(schema.rows(annotated["embedding"]))
        images, rows = images + annotated.num_rows, rows + batch.num_rows
        advance(batch.num_rows)
    said = source.manifest
    if (images, rows) != (said.successes, said.inputs):
        raise IntegrityError(
            f"{source.folder} holds {images} annotated of {rows} rows, but its manifest says {said.successes} of "
            f"{said.inputs}; annotate again"
        )
    return first_id + images


def _check_sources(sources: list[Source]) -> None:
    first = sources[0]
    for folder, manifest in sources:
        schema.check_version(folder, manifest)
        if Vocabulary(manifest.vocabulary).hash != manifest.vocabulary_hash:
            raise IntegrityError(f"{folder}/manifest.json: the vocabulary was changed; annotate again")
        if (manifest.model_id, manifest.vocabulary) != (first.manifest.model_id, first.manifest.vocabulary):
            raise UsageError(
                f"{folder} was annotated with {manifest.model_id}, but {first.folder} with {first.manifest.model_id}: "
                "scores of different models cannot be compared; annotate again with one"
            )
    if not any(source.manifest.successes for source in sources):
        inputs = sum(source.manifest.inputs for source in sources)
        named = ", ".join(str(source.folder) for source in sources)
        raise UsageError(f"{named} holds no annotated image: {inputs} of {inputs} failed")


def _rows(annotations: Path, source: schema.AnnotationsManifest) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all parts in order, each checked to be of the manifest's schema and model."""
    expected = schema.annotations(len(source.vocabulary), source.embedding_dim)
    for part in range(source.parts):
        path = annotations / f"part-{part:05d}.parquet"
        try:
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(expected):
                    raise IntegrityError(f"{path} has another schema than its manifest says; annotate again")
                for batch in file.iter_batches(BATCH_ROWS):
                    if pc.any(pc.not_equal(batch["model_id"], source.model_id)).as_py():
                        raise IntegrityError(f"{path} holds rows of another model than {source.model_id}")
                    yield batch
        except (OSError, pa.ArrowException) as error:
            raise IntegrityError(f"{path} is missing or damaged: {error}") from None
