"""`aaam-pipe relabel`: other labels for annotations, from the scores and the embeddings that they hold.

No picture is opened. The folder is replaced in one step: a relabelling that is killed leaves it as it was. What it was
is kept beside it (`kept_labels`), until the next one.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from aaam_pipeline.core.artifacts import PARTIAL, fingerprint, foreign, publish, work_folder, write_checksummed
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.portable_paths import portable
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.curation import kept_labels
from aaam_pipeline.curation.label_changes import LabelChanges
from aaam_pipeline.curation.relabelled_parts import OtherHead, PartReviser
from aaam_pipeline.formats.assignment import Assignment
from aaam_pipeline.formats.parts import (
    NAMES,
    VERSION,
    AnnotationsManifest,
    manifest_path,
    part_path,
    read_annotations_manifest,
    read_stats,
)
from aaam_pipeline.formats.vocabulary import Vocabulary

__all__ = ["OtherHead", "relabel", "undo"]


def relabel(
    folder: Path,
    rule: Assignment,
    report: Reporter,
    head: OtherHead | None = None,
    *,
    keep: bool = True,
    dry_run: bool = False,
) -> LabelChanges:
    """Give annotations the labels that `rule` says, by the scores of `head` or by those that they hold.

    `keep`: what there was can be restored by `undo`, which takes the room of the parts that change. `dry_run`: count
    what would change, and write nothing. Annotations that are labelled so already are left as they are.

    Raises:
        UsageError: `folder` holds no annotations, or also something else; it is being written; a run of annotate was
            interrupted there; the model's thresholds are asked for and not known.
        IntegrityError: the annotations are damaged.
        AaamError: the disk is full.
    """
    if dry_run:
        before = read_annotations_manifest(folder)
        return _revise(folder, None, before, described(before, folder, rule, head), head, report)
    with exclusive(folder):
        check_replaceable(folder)
        kept_labels.settle(folder)
        before = read_annotations_manifest(folder)
        now = described(before, folder, rule, head)
        if now == before:
            return LabelChanges.none(now.vocabulary)
        work = work_folder(work_beside(folder))
        with removed_on_error(work, folder):
            changes = _revise(folder, work, before, now, head, report)
            now = write_checksummed(manifest_path(work), _counted(now, work))
            if keep:
                kept_labels.keep(folder, now.hash)
            publish(work, folder)
        kept_labels.settle(folder) if keep else kept_labels.forget(folder)
    return changes


def described(
    before: AnnotationsManifest, folder: Path, rule: Assignment, head: OtherHead | None
) -> AnnotationsManifest:
    """Return the manifest that annotations get, but for what is counted; the one before where nothing is to be done.

    Raises:
        UsageError: the model's thresholds are asked for, and these are not in the manifest.
    """
    was = Assignment.of(before.settings, before.thresholds)
    if head is None and rule.takes_the_models and was.thresholds is not None:
        raise UsageError(f"{folder} does not say its model's thresholds: name the model with --model")
    model: dict[str, Any] = {}
    if head:
        model = {
            "model_id": head.model_id,
            "vocabulary": head.vocabulary,
            "vocabulary_hash": Vocabulary(head.vocabulary).hash,
            "calibration": head.head.calibration,
        }
    models = list(head.head.thresholds) if head else before.thresholds
    now = msgspec.structs.replace(before, thresholds=list(rule.thresholds or models), **model)
    if now == before and rule == was:
        return before
    kept = {name: value for name, value in before.settings.items() if name not in Assignment._fields}
    settings = kept | rule.settings()
    place = {"model_path": portable(head.bundle, folder), "words": head.words} if head else {}
    return msgspec.structs.replace(
        now,
        schema_version=VERSION,
        settings=settings,
        settings_hash=fingerprint([VERSION, now.model_id, settings]),
        **place,
    )


def undo(folder: Path, *, dry_run: bool = False) -> AnnotationsManifest:
    """Restore, byte for byte, what annotations were before they were relabelled; return the manifest of that.

    Raises:
        UsageError: they were not relabelled, or annotate wrote them since.
        IntegrityError: what was kept is damaged; the annotations stay as they are.
    """
    read_annotations_manifest(folder)
    if dry_run:
        return kept_labels.check(folder)
    with exclusive(folder):
        check_replaceable(folder)
        kept_labels.check(folder)
        work = work_folder(work_beside(folder))
        with removed_on_error(work, folder):
            return kept_labels.restore(folder, work)


def work_beside(folder: Path) -> Path:
    target = folder.resolve()
    return target.with_name(f"{target.name}.relabel")


def check_replaceable(folder: Path) -> None:
    """Check that the folder may be replaced."""
    if folder.is_dir() and (others := foreign(folder, *NAMES)):
        raise UsageError(
            f"{folder} is replaced as a whole, but holds what annotate did not write: {', '.join(others[:3])}; move "
            "that elsewhere"
        )
    target = folder.resolve()
    plan = target.with_name(f"{target.name}{PARTIAL}") / "plan.json"
    if plan.is_file():
        raise UsageError(
            f"a run of annotate into {folder} was interrupted, {plan.parent}: give that command again, or delete it"
        )


@contextmanager
def removed_on_error(work: Path, folder: Path) -> Iterator[None]:
    """Leave nothing behind; say where the disk was full, since the error of a write itself names no file."""
    try:
        yield
    except BaseException as error:
        shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, OSError) and error.filename is None:
            raise AaamError(f"cannot write {work}: {error.strerror or error}; {folder} is as it was") from error
        raise


def _revise(
    folder: Path,
    work: Path | None,
    before: AnnotationsManifest,
    now: AnnotationsManifest,
    head: OtherHead | None,
    report: Reporter,
) -> LabelChanges:
    """Write the parts into `work` (None: nowhere), and return what changes."""
    scored = ("model_id", "vocabulary", "calibration")
    same_scores = all(getattr(before, name) == getattr(now, name) for name in scored)
    labels = list(dict.fromkeys([*now.vocabulary, *before.vocabulary]))
    reviser = PartReviser(now, labels, None if same_scores else head)

    def revise(number: int) -> LabelChanges:
        return reviser.revise(part_path(folder, number), part_path(work, number) if work else None)

    changes = LabelChanges.none(labels)
    pool = ThreadPoolExecutor(available_cores(), thread_name_prefix="relabel")
    try:
        with report.task("relabel", before.parts) as advance:
            for each in pool.map(revise, range(before.parts)):
                changes = changes.plus(each)
                advance(1)
    finally:
        pool.shutdown(cancel_futures=True)
    return changes


def _counted(manifest: AnnotationsManifest, work: Path) -> AnnotationsManifest:
    """Return the manifest with what another familiarity judges; all other counts stay."""
    stats = [read_stats(part_path(work, number)) for number in range(manifest.parts)]
    judged, unfamiliar = (sum(getattr(each, name) for each in stats) for name in ("judged", "unfamiliar"))
    return msgspec.structs.replace(manifest, judged=judged, unfamiliar=unfamiliar)
