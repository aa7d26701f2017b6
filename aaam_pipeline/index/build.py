"""`aaam-pipe index` and the stage `index`: an annotations folder -> scores.duckdb, vectors.faiss, manifest.json."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aaam_pipeline.core import schema
from aaam_pipeline.core.artifacts import file_sha256, foreign, publish, read_json, work_folder
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.vocabulary import Vocabulary
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.manifest import SCORES, VECTORS, IndexManifest
from aaam_pipeline.index.scores import ScoresBuilder
from aaam_pipeline.index.vectors import VectorsBuilder

BATCH_ROWS = 16384


def build(annotations: Path, out: Path, report: Reporter) -> IndexManifest:
    """Index the annotated (not failed) images of a folder; the index at `out` is replaced in one step.

    Raises:
        UsageError: `annotations` is no annotations folder or holds no annotated image; `out` cannot be written, is
            something else, or is being written by another process.
        IntegrityError: rows and manifest do not agree, or rows come from different models.
    """
    source = read_json(annotations / "manifest.json", schema.AnnotationsManifest, "an annotations folder")
    _check_source(annotations, source, out)
    with exclusive(out):
        work = work_folder(out)
        manifest = _build(annotations, source, work, report)
        publish(work, out)
    return manifest


def _build(annotations: Path, source: schema.AnnotationsManifest, work: Path, report: Reporter) -> IndexManifest:
    """Build all files of an index in the folder `work`."""
    scores = ScoresBuilder(work / SCORES, len(source.vocabulary))
    vectors = VectorsBuilder(source.embedding_dim)
    images = rows = 0
    try:
        with report.task("index", source.inputs) as advance:
            for batch in _rows(annotations, source):
                annotated = batch.filter(pc.equal(batch["status"], "ok"))
                if annotated.num_rows:
                    scores.add(images, annotated)
                    vectors.add(schema.rows(annotated["embedding"]))
                images, rows = images + annotated.num_rows, rows + batch.num_rows
                advance(batch.num_rows)
        if (images, rows) != (source.successes, source.inputs):
            raise IntegrityError(
                f"{annotations} holds {images} annotated of {rows} rows, but its manifest says {source.successes} of "
                f"{source.inputs}; annotate again"
            )
        scores.sort()
        counts = scores.label_counts(source.vocabulary)
    except duckdb.Error as error:
        raise IntegrityError(f"cannot build the index: {str(error).splitlines()[0]}") from None
    finally:
        scores.close()
    vectors.write(work / VECTORS)
    files = [work / SCORES, work / VECTORS]
    manifest = IndexManifest(
        schema_version=manifests.VERSION,
        model_id=source.model_id,
        model_path=source.model_path,
        vocabulary=source.vocabulary,
        thresholds=source.thresholds,
        label_counts=counts,
        embedding_dim=source.embedding_dim,
        images=images,
        failed=source.inputs - images,
        annotations=str(annotations.absolute()),
        files={file.name: file.stat().st_size for file in files},
        sha256={file.name: file_sha256(file) for file in files},
    )
    return manifests.write(work, manifest)


def _check_source(annotations: Path, source: schema.AnnotationsManifest, out: Path) -> None:
    if source.schema_version != schema.VERSION:
        raise IntegrityError(f"{annotations}: annotations version {source.schema_version} is not known; annotate again")
    if Vocabulary(source.vocabulary).hash != source.vocabulary_hash:
        raise IntegrityError(f"{annotations}/manifest.json: the vocabulary was changed; annotate again")
    if source.successes == 0:
        raise UsageError(f"{annotations} holds no annotated image: {source.inputs} of {source.inputs} failed")
    if out.exists() and (not out.is_dir() or foreign(out, "manifest.json", f"{SCORES}*", VECTORS)):
        raise UsageError(f"{out} exists and is not an index; choose another --out")


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
