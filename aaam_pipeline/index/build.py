"""`aaam-pipe index` and the stage `index`: folders of annotations -> the files of an index.

An index is always a new one, put in the place of the old one when it is whole. What did not change since the old one
was built is copied from it, which is many times as fast as reading it again, and gives the same answers.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from aaam_pipeline.core.artifacts import file_sha256, foreign, publish, read_json, work_folder, write_json
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.parts import AnnotationsManifest
from aaam_pipeline.index import annotations as inputs
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index import vector_builders
from aaam_pipeline.index.annotations import Part, Source
from aaam_pipeline.index.manifest import FILES, PARTS, SCORES, VECTORS, IndexManifest
from aaam_pipeline.index.scores import ScoresBuilder
from aaam_pipeline.index.vectors import Vectors


class Old(NamedTuple):
    """The index that is there already, whole, and the parts that it was built from."""

    folder: Path
    manifest: IndexManifest
    parts: list[Part]


class Kept(NamedTuple):
    """Images that are copied from the old index, those with the ids from `first` on; `rows`: of their parts."""

    first: int
    images: int
    rows: int


class Plan(NamedTuple):
    """What an index is built from: for each folder its parts, and the steps that give their images in order."""

    sources: list[Source]
    parts: list[list[Part]]
    steps: list[list[Kept | Part]]

    @property
    def images(self) -> int:
        """Images in all, failed ones not counted."""
        return sum(part.images for parts in self.parts for part in parts)

    @property
    def rows(self) -> int:
        """Images in all, with those that failed."""
        return sum(part.rows for parts in self.parts for part in parts)


def build(
    annotations: Path | Sequence[Path], out: Path, report: Reporter, max_memory: int | None = None
) -> IndexManifest:
    """Index the annotated (not failed) images of one folder or of several; the index at `out` is replaced in one step.

    An index that was built from the very same parts, and is whole, is left as it is. `max_memory`: bytes that building
    may take, and of which the vectors may take half when they are searched; default: half of this machine's.

    Raises:
        UsageError: `annotations` are no annotations, hold no annotated image, are of several models, or hold an image
            twice; `out` cannot be written, is something else, or is being written by another process; `max_memory` is
            too little.
        IntegrityError: parts are damaged, or rows and manifest do not agree.
    """
    memory = half_of_memory() if max_memory is None else max_memory
    sources = inputs.open_sources([annotations] if isinstance(annotations, Path) else list(annotations))
    if out.exists() and (not out.is_dir() or foreign(out, "manifest.json", f"{SCORES}*", *FILES)):
        raise UsageError(f"{out} exists and is not an index; choose another --out")
    with exclusive(out):
        old = _old(out)
        known = {part.sha256: part for part in old.parts} if old else {}
        parts = [inputs.parts(source, known) for source in sources]
        if old and _is_current(old, sources, parts, memory):
            report.info(f"{out} is up to date")
            return old.manifest
        old = _reusable(old, sources[0], parts, memory)
        plan = Plan(sources, parts, [_steps(each, old.parts if old else []) for each in parts])
        work = work_folder(out)
        try:
            manifest = _build(plan, old, work, memory, report)
        except AaamError:
            shutil.rmtree(work)
            raise
        publish(work, out)
    return manifest


def half_of_memory() -> int:
    """Return half of the bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _old(out: Path) -> Old | None:
    """Return the index at `out` if every byte of it is as it was built."""
    try:
        manifest = manifests.read(out)
        whole = all(file_sha256(out / name) == manifest.sha256[name] for name in manifest.files)
        return Old(out, manifest, read_json(out / PARTS, list[Part], "an index")) if whole else None
    except AaamError:
        return None


def _is_current(old: Old, sources: list[Source], parts: list[list[Part]], memory: int) -> bool:
    hashes = [part.sha256 for each in parts for part in each]
    return (
        hashes == [part.sha256 for part in old.parts]
        and [str(source.folder.absolute()) for source in sources] == old.manifest.annotations
        and _reusable(old, sources[0], parts, memory) is not None
    )


def _reusable(old: Old | None, source: Source, parts: list[list[Part]], memory: int) -> Old | None:
    """Return the old index if images may be copied from it: it is of the same model, and its vectors are kept alike."""
    said = source.manifest
    if not old or (old.manifest.model_id, old.manifest.vocabulary) != (said.model_id, said.vocabulary):
        return None
    images = sum(part.images for each in parts for part in each)
    return old if vector_builders.updatable(old.manifest.vectors, said.embedding_dim, images, memory) else None


def _steps(parts: list[Part], old: list[Part]) -> list[Kept | Part]:
    """Return how the images of parts are come by, in order; neighbours in the old index are copied at once."""
    places, first = {}, 0
    for part in old:
        places[part.sha256] = first
        first += part.images
    steps: list[Kept | Part] = []
    for part in parts:
        place = places.get(part.sha256)
        last = steps[-1] if steps else None
        if place is None:
            steps.append(part)
        elif isinstance(last, Kept) and last.first + last.images == place:
            steps[-1] = Kept(last.first, last.images + part.images, last.rows + part.rows)
        else:
            steps.append(Kept(place, part.images, part.rows))
    return steps


def _build(plan: Plan, old: Old | None, work: Path, memory: int, report: Reporter) -> IndexManifest:
    """Build all files of an index in the folder `work`."""
    first = plan.sources[0].manifest
    scores = ScoresBuilder(work / SCORES, len(first.vocabulary), memory // 2, old.folder / SCORES if old else None)
    vectors = vector_builders.builder(first.embedding_dim, plan.images, memory, work, _vectors(old) if old else None)
    try:
        with report.task("index", plan.rows) as advance:
            for source, steps in zip(plan.sources, plan.steps, strict=True):
                for rows in _add(source.manifest, steps, scores, vectors):
                    advance(rows)
        scores.finish()
        _check_twice(scores, plan)
        counts = scores.label_counts(first.vocabulary)
    except duckdb.Error as error:
        raise IntegrityError(f"cannot build the index: {str(error).splitlines()[0]}") from None
    finally:
        scores.close()
    if plan.images > vector_builders.FLAT_IMAGES:
        report.info(f"choosing which of {plan.images} vectors are compared: minutes for a million images")
    facts = vectors.write(work / VECTORS)
    write_json(work / PARTS, [part for parts in plan.parts for part in parts])
    manifest = IndexManifest(
        schema_version=manifests.VERSION,
        model_id=first.model_id,
        model_path=first.model_path,
        vocabulary=first.vocabulary,
        thresholds=first.thresholds,
        label_counts=counts,
        embedding_dim=first.embedding_dim,
        images=plan.images,
        failed=plan.rows - plan.images,
        annotations=[str(source.folder.absolute()) for source in plan.sources],
        vectors=facts,
    )
    return manifests.write(work, manifest)


def _vectors(old: Old) -> vector_builders.Old:
    manifest = old.manifest
    # the file is mapped: it may be closed
    with (old.folder / VECTORS).open("rb") as file:
        vectors = Vectors(file, manifest.images, manifest.embedding_dim, manifest.sha256[VECTORS])
    return vector_builders.Old(vectors, manifest.vectors)


def _add(
    source: AnnotationsManifest,
    steps: list[Kept | Part],
    scores: ScoresBuilder,
    vectors: vector_builders.VectorsBuilder,
) -> Iterator[int]:
    """Add the images of a folder; yield how many rows are done."""
    for step in steps:
        if isinstance(step, Kept):
            scores.copy(step.first, step.images)
            vectors.copy(step.first, step.images)
        else:
            for batch in inputs.images(step, source):
                scores.add(batch)
                vectors.add(to_matrix(batch["embedding"]))
        yield step.rows


def _check_twice(scores: ScoresBuilder, plan: Plan) -> None:
    """Raise UsageError if an image is in more than one folder."""
    ends = [0]
    for parts in plan.parts:
        ends.append(ends[-1] + sum(part.images for part in parts))
    twice = scores.in_several(ends)
    if twice:
        raise UsageError(f"{twice} is in several of the annotations; annotate it once, or leave a folder out")
