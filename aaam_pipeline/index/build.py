"""`aaam-pipe index` and the stage `index`: folders of annotations -> the files of an index.

An index is always built anew, and replaces the previous one when it is complete. What did not change in between is
copied from the previous index, which is many times as fast as reading it again, and gives the same answers.
"""

import logging
import shutil
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec

from aaam_pipeline.core.artifacts import (
    PARTIAL,
    absolute,
    file_sha256,
    foreign,
    path_text,
    publish,
    read_json,
    work_folder,
    write_json,
)
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.machine import available_memory
from aaam_pipeline.core.portable_paths import is_located, located, portable
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.database import explained
from aaam_pipeline.formats.roots import MovedRoot
from aaam_pipeline.formats.taught import TaughtLine
from aaam_pipeline.index import annotations as inputs
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index import taught, vector_builders
from aaam_pipeline.index.annotations import AnnotationsFolder, IndexedPart
from aaam_pipeline.index.manifest import FILES, PARTS, SCORES, TAUGHT, VECTORS, IndexManifest
from aaam_pipeline.index.merging import without_repeated
from aaam_pipeline.index.scores import ScoresBuilder
from aaam_pipeline.index.vectors import open_vectors

log = logging.getLogger(__name__)


class PreviousIndex(NamedTuple):
    """The index that is to be replaced, undamaged, and the parts that it was built from."""

    folder: Path
    manifest: IndexManifest
    parts: list[IndexedPart]


class CopiedImages(NamedTuple):
    """Images that are copied from the previous index, those with the ids from `first` on; `rows`: of their parts."""

    first: int
    images: int
    rows: int


class IndexPlan(NamedTuple):
    """What an index is built from: for each folder its parts, and the steps that add their images in order.

    `words`: those that a person taught.
    """

    folders: list[AnnotationsFolder]
    parts: list[list[IndexedPart]]
    steps: list[list[CopiedImages | IndexedPart]]
    words: Sequence[TaughtLine] = ()

    @property
    def images(self) -> int:
        """Images in all, failed ones not counted."""
        return sum(part.images for parts in self.parts for part in parts)

    @property
    def rows(self) -> int:
        """Rows in all, with those that failed and those that are merged."""
        return sum(part.rows for parts in self.parts for part in parts)


def build(
    annotations: Path | Sequence[Path],
    out: Path,
    report: Reporter,
    max_memory: int | None = None,
    moved_roots: Sequence[MovedRoot] = (),
    words: Sequence[TaughtLine] = (),
) -> IndexManifest:
    """Index the annotated (not failed) images of one folder or of several; the index at `out` is replaced in one step.

    An undamaged index that was built from the very same parts is left as it is. `max_memory`: bytes that building may
    take, and of which the vectors may take half when they are searched; default: half of this machine's.
    `moved_roots`: places of rows that have another name now; the annotations keep the name they have. `words`: those
    that a person taught, of which the index has columns, too.

    Raises:
        UsageError: `annotations` are no annotations, hold no annotated image, are of several models or thresholds;
            `out` cannot be written, is something else, or is being written by another process; `max_memory` is too
            little.
        VersionError: a newer version of this program built the index at `out`.
        IntegrityError: parts are damaged, or rows and manifest do not agree.
        AaamError: there is no room for the index.
    """
    memory = half_of_memory() if max_memory is None else max_memory
    folders = inputs.open_folders([annotations] if isinstance(annotations, Path) else list(annotations))
    if out.exists() and (not out.is_dir() or foreign(out, "manifest.json", f"{SCORES}*", *FILES, TAUGHT)):
        raise UsageError(f"{out} exists and is not an index; choose another --out")
    for folder in folders:
        if folder.path.resolve() in out.resolve().parents:
            raise UsageError(f"{out} lies in {folder.path}, which annotate replaces as a whole; choose another --out")
    with exclusive(out):
        manifests.refuse_newer(out)
        previous = _previous(out)
        known = {part.sha256: part for part in previous.parts} if previous else {}
        for moved in moved_roots:
            if not any(moved.concerns(folder.manifest.roots) for folder in folders):
                report.info(f"no row lies below {moved.old}")
        parts = without_repeated(folders, [inputs.find_parts(folder, known, moved_roots) for folder in folders])
        previous = _reusable(previous, folders[0], parts, memory)
        if previous and _is_current(previous, folders, parts):
            # a build that was killed after it had published leaves the one before
            target = out.resolve()
            shutil.rmtree(target.with_name(f"{target.name}{PARTIAL}"), ignore_errors=True)
            report.info(f"{out} is up to date")
            return taught.replace_columns(out, previous.manifest, words)
        steps = [_steps(each, previous.parts if previous else []) for each in parts]
        plan = IndexPlan(folders, parts, steps, words)
        copied = sum(each.images for steps in plan.steps for each in steps if isinstance(each, CopiedImages))
        log.info("%d images, %d of them copied from the previous index", plan.images, copied)
        work = work_folder(out)
        try:
            manifest = _build(plan, previous, work, out, memory, report)
        except (AaamError, OSError) as error:
            shutil.rmtree(work)
            if isinstance(error, OSError) and not error.filename:
                raise AaamError(f"cannot write the index {out}: {error.strerror or error}") from error
            raise
        publish(work, out)
    return manifest


def half_of_memory() -> int:
    """Return half of the bytes of memory that this process may take."""
    return available_memory() // 2


def _previous(out: Path) -> PreviousIndex | None:
    """Return the index at `out` if every byte of it is as it was built."""
    try:
        manifest = manifests.read(out)
        if manifest.schema_version != manifests.VERSION or any(
            file_sha256(out / name) != manifest.sha256[name] for name in manifest.files
        ):
            return None
        return PreviousIndex(out, manifest, read_json(out / PARTS, list[IndexedPart], "an index"))
    except AaamError:
        return None


def _is_current(previous: PreviousIndex, folders: list[AnnotationsFolder], parts: list[list[IndexedPart]]) -> bool:
    """Return whether the previous index was built from the very same parts of the same folders."""
    same_parts = [_content(part) for each in parts for part in each] == [_content(part) for part in previous.parts]
    named = [located(each, previous.folder) for each in previous.manifest.annotations]
    first = folders[0].manifest
    same_facts = (previous.manifest.words, previous.manifest.thresholds) == (first.words, first.thresholds)
    return same_parts and same_facts and named == [path_text(absolute(folder.path)) for folder in folders]


def _reusable(
    previous: PreviousIndex | None, folder: AnnotationsFolder, parts: list[list[IndexedPart]], memory: int
) -> PreviousIndex | None:
    """Return the previous index if images may be copied: it is of the same model, and has the right kind of vectors."""
    new = folder.manifest
    if not previous or (previous.manifest.model_id, previous.manifest.vocabulary) != (new.model_id, new.vocabulary):
        return None
    images = sum(part.images for each in parts for part in each)
    return previous if vector_builders.updatable(previous.manifest.vectors, new.embedding_dim, images, memory) else None


def _steps(parts: list[IndexedPart], previous: list[IndexedPart]) -> list[CopiedImages | IndexedPart]:
    """Return which parts are copied or read, in order; what is adjacent in the previous index is copied at once."""
    starts = accumulate((part.images for part in previous), initial=0)
    start_of = {_content(part): start for part, start in zip(previous, starts, strict=False)}
    steps: list[CopiedImages | IndexedPart] = []
    for part in parts:
        start = start_of.get(_content(part))
        last = steps[-1] if steps else None
        if start is None:
            steps.append(part)
        elif isinstance(last, CopiedImages) and last.first + last.images == start:
            steps[-1] = CopiedImages(last.first, last.images + part.images, last.rows + part.rows)
        else:
            steps.append(CopiedImages(start, part.images, part.rows))
    return steps


def _content(part: IndexedPart) -> tuple[str, tuple[int, ...], tuple[MovedRoot, ...]]:
    """Return what the images of a part depend on."""
    return part.sha256, tuple(part.merged), tuple(part.roots)


def _build(
    plan: IndexPlan, previous: PreviousIndex | None, work: Path, out: Path, memory: int, report: Reporter
) -> IndexManifest:
    """Build all files of an index in the folder `work`; what they name lies as seen from `out`."""
    first = plan.folders[0].manifest
    old_scores = previous.folder / SCORES if previous else None
    old_vectors = open_vectors(previous.folder, previous.manifest) if previous else None
    vectors = vector_builders.create(first.embedding_dim, plan.images, memory, work, old_vectors)
    try:
        with ScoresBuilder(work / SCORES, len(first.vocabulary), memory // 2, old_scores) as scores:
            _add_images(plan, out, scores, vectors, report)
            counts = scores.finish(first.vocabulary)
            judged, unfamiliar = scores.count_unfamiliar()
    except duckdb.Error as error:
        raise explained(error, work / SCORES, "build the index again") from None
    if plan.images > vector_builders.FLAT_IMAGES:
        report.info(f"choosing which of {plan.images} vectors are compared: minutes for a million images")
    vectors_info = vectors.write(work / VECTORS)
    parts = [part for each in plan.parts for part in each]
    write_json(work / PARTS, [msgspec.structs.replace(part, path=portable(Path(part.path), out)) for part in parts])
    merged = sum(len(part.merged) for part in parts)
    manifest = IndexManifest(
        schema_version=manifests.VERSION,
        model_id=first.model_id,
        model_path=_renamed(first.model_path, plan.folders[0].path, out),
        vocabulary=first.vocabulary,
        thresholds=first.thresholds,
        label_counts=counts,
        words=first.words,
        judged=judged,
        unfamiliar=unfamiliar,
        embedding_dim=first.embedding_dim,
        images=plan.images,
        failed=plan.rows - plan.images - merged,
        merged=merged,
        annotations=[portable(folder.path, out) for folder in plan.folders],
        vectors=vectors_info,
    )
    return manifests.write(work, taught.with_columns(work, manifest, plan.words))


def _renamed(path: str, folder: Path, out: Path) -> str:
    """Return a path of a file in `folder` as one in `out` names it."""
    return path if is_located(path) else portable(Path(located(path, folder)), out)


def _add_images(
    plan: IndexPlan, out: Path, scores: ScoresBuilder, vectors: vector_builders.VectorsBuilder, report: Reporter
) -> None:
    with report.task("index", plan.rows) as advance:
        for folder, steps in zip(plan.folders, plan.steps, strict=True):
            rooted = partial(_renamed, folder=folder.path, out=out)
            for step in steps:
                if isinstance(step, CopiedImages):
                    scores.copy(step.first, step.images)
                    vectors.copy(step.first, step.images)
                else:
                    for batch in inputs.annotated_rows(step, folder.manifest):
                        scores.add(inputs.with_roots(batch, rooted))
                        vectors.add(to_matrix(batch["embedding"]))
                advance(step.rows)
