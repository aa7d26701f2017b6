"""`aaam-pipe annotate` and the stage `annotate`: inputs -> what is to be done -> parts -> a published folder.

Nothing is done twice and nothing is lost: see `changes` for what is to be done, `staging` for the folder in which it is
made, `parts` for the making, by this process or (`cluster`) by a Ray cluster.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from aaam_pipeline.annotate import backends, compatible, inputs
from aaam_pipeline.annotate.backends import Backend
from aaam_pipeline.annotate.change_counts import ChangeCounts
from aaam_pipeline.annotate.changes import ChangeDetector
from aaam_pipeline.annotate.inputs import InputItem, Scope
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.annotate.parts import AnnotateJob, PartMaker
from aaam_pipeline.annotate.staging import (
    ExistingAnnotations,
    RunPlan,
    StagingDir,
    read_errors,
    total_stats,
    write_errors,
)
from aaam_pipeline.core.artifacts import file_sha256, fingerprint
from aaam_pipeline.core.errors import AaamError, FailureRateError, IntegrityError, MissingFilesError, UsageError
from aaam_pipeline.core.locks import exclusive, held_by_another
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.portable_paths import portable
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.text import counted
from aaam_pipeline.formats.parts import VERSION, AnnotationsManifest, find_manifest
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.models.info import BundleInfo, familiarity_of

__all__ = ["Options", "annotate", "preview"]

log = logging.getLogger(__name__)


def annotate(
    items: Iterable[InputItem],
    model: Path,
    out: Path,
    options: Options,
    report: Reporter,
    scope: Scope | None = None,
    finished: Callable[[AnnotationsManifest], None] = lambda manifest: None,
) -> AnnotationsManifest:
    """Annotate every input with the model `model` into the folder `out`; return its manifest.

    What is there already of the same work is kept: rows of inputs that have not changed, parts of an interrupted run,
    and rows without an input, unless their files are known to be gone (`absent` has the rule).
    `scope` is what `inputs.find` looked at when `items` are listed; without it, all files below the roots of these.
    `finished` is called with the manifest when all is written, also before an error that says how it ended.

    Raises:
        UsageError: `out` holds other work, is being written, or cannot be; the model or the device is not there.
        IntegrityError: the model or the annotations are damaged.
        AaamError: the disk is full.
        FailureRateError: all is written, but more than `max_failure_rate` of the images failed.
        MissingFilesError: all is written, but the files of many rows are not found; these rows stay.
    """
    info = backends.model_info(options.backend, model, options.device)
    backend = None
    with write_errors(out), exclusive(out):
        staging = StagingDir(out)
        # what the detector holds in memory is free again when the work itself begins
        with ChangeDetector(options.root) as detector:
            _record(detector, items, staging, options)
            manifest = _identity(info, model, out, options)
            with read_errors(out):
                existing = compatible.existing(staging, manifest, options)
            if _resumable(staging, detector, manifest, options):
                assert staging.plan is not None
                done, total = total_stats(staging.rows).count, staging.plan.manifest.inputs
                report.info(f"resuming an interrupted run: {done} of {total} images are done")
            else:
                with read_errors(out):
                    counts = _compare(detector, existing, staging, options, scope, report)
                is_only = bool(existing) and _is_current(existing[0], staging)
                if is_only and not counts.todo and not detector.stale():
                    staging.discard()
                    what = f"{counted(detector.inputs, 'image')}, same model and settings"
                    report.info(f"{staging.out} is complete: {what}; {_nothing_to_do(counts)}")
                    return _ended(existing[0].manifest, detector.held, options, finished)
                # before anything is written: a model or a device that is not there leaves nothing behind
                backend = _load(model, options, report) if counts.todo else None
                report.info(f"{counted(detector.inputs, 'image')}: {counts}")
                plan = _plan(detector.described(manifest), detector, existing, staging, options)
                retries = is_only and detector.stale() == counts.todo == counts.retried
                with read_errors(out):
                    staging.begin(msgspec.structs.replace(plan, retries=retries), detector, existing)
        _make(staging, model, backend, options, report)
        held = staging.held()
        return _ended(staging.publish(), held, options, finished)


def preview(
    items: Iterable[InputItem],
    model: Path,
    out: Path,
    options: Options,
    report: Reporter,
    scope: Scope | None = None,
    relabelled: bool = False,
) -> tuple[ChangeCounts, str]:
    """Return what `annotate` would do, and which rows would stay although their files are not found; do nothing.

    What another process is writing meanwhile is said, and counted as far as it has come. `relabelled`: what is there
    would be given the labels of this model and these options before.

    Raises:
        UsageError, IntegrityError, MissingFilesError: as `annotate`.
    """
    if writing := held_by_another(out):
        report.info(f"{writing}: what it has not finished yet is counted as to be done")
    info = backends.model_info(options.backend, model, options.device)
    with ChangeDetector(options.root) as detector:
        staging = StagingDir(out)
        _record(detector, items, staging, options)
        try:
            with read_errors(out):
                existing = compatible.existing(staging, _identity(info, model, out, options), options, relabelled)
                return _compare(detector, existing, staging, options, scope, report), detector.held
        except IntegrityError:
            if writing:
                # a part that is replaced is not damaged
                raise UsageError(f"{writing}; wait for it") from None
            raise


def _record(detector: ChangeDetector, items: Iterable[InputItem], staging: StagingDir, options: Options) -> None:
    """List the inputs.

    Raises:
        MissingFilesError: there are none, but rows: a disk may not be mounted.
    """
    try:
        detector.record(items)
    except inputs.NoImagesError as error:
        there = None if options.on_existing == "overwrite" else staging.published()
        if not there:
            raise
        rows = f"the {there.manifest.inputs} rows in {staging.out} stay"
        advice = f"to drop them all, delete {staging.out}" if options.forget else "is a disk not mounted?"
        raise MissingFilesError(f"{error}; {rows}: {advice}") from None
    log.info("%d images listed", detector.inputs)


def _identity(info: BundleInfo, model: Path, out: Path, options: Options) -> AnnotationsManifest:
    """Return the manifest as far as it is known before the work: two that are alike in it may be mixed."""
    rule = options.assignment
    settings = rule.settings()
    return AnnotationsManifest(
        schema_version=VERSION,
        model_id=info.model_id,
        model_path=portable(model, out),
        vocabulary=info.vocabulary,
        vocabulary_hash=Vocabulary(info.vocabulary).hash,
        thresholds=list(rule.thresholds or info.thresholds),
        calibration=info.calibration,
        words=info.words,
        embedding_dim=0,
        settings=settings,
        settings_hash=fingerprint([VERSION, info.model_id, settings]),
        roots=[],
        inputs=0,
    )


def _is_current(existing: ExistingAnnotations, staging: StagingDir) -> bool:
    """Return whether annotations are those that were published last, in the version that is written."""
    return existing.rows == staging.out and existing.manifest.schema_version == VERSION


def _resumable(staging: StagingDir, detector: ChangeDetector, manifest: AnnotationsManifest, options: Options) -> bool:
    """Return whether an interrupted run was just this one: the same inputs, unchanged, and the same options."""
    plan = staging.plan
    if plan is None or plan.listing_hash != detector.listing_hash or compatible.difference(plan.manifest, manifest):
        return False
    if plan.manifest.schema_version != VERSION:
        # its rows are kept by a plan of their own
        return False
    if options.on_existing == "overwrite":
        return plan.fresh
    others = plan.forget != options.forget or (options.root and plan.root != list(options.root))
    if others and not plan.fresh:
        return False
    return plan.retry_failed == options.retry_failed or (plan.fresh and not options.retry_failed)


def _compare(
    detector: ChangeDetector,
    existing: Sequence[ExistingAnnotations],
    staging: StagingDir,
    options: Options,
    scope: Scope | None,
    report: Reporter,
) -> ChangeCounts:
    if options.on_existing == "overwrite":
        _say_replaced(staging, detector.roots(), report)
    looked_at = Scope(detector.roots()) if scope is None else scope
    counts = detector.compare([each.parts for each in existing], options, looked_at, report)
    if existing and existing[0].manifest.schema_version != VERSION:
        before = existing[0].manifest.schema_version
        report.info(f"the rows are of version {before}: they become version {VERSION}, and no image is opened for that")
    return counts


def _nothing_to_do(counts: ChangeCounts) -> str:
    others = counts._replace(kept=0)
    return f"nothing to do ({others})" if any(others) else "nothing to do"


def _say_replaced(staging: StagingDir, roots: Sequence[str], report: Reporter) -> None:
    """Say how many rows are replaced, and of which places there will be none."""
    try:
        there = staging.published()
    except AaamError:
        # what cannot be read is replaced, too
        return
    if there:
        gone = sorted(set(there.manifest.roots) - set(roots))
        none_of = f"; none will be left of {', '.join(gone)}" if gone else ""
        report.info(f"the {counted(there.manifest.inputs, 'row')} of {staging.out} are replaced{none_of}")


def _plan(
    manifest: AnnotationsManifest,
    detector: ChangeDetector,
    existing: Sequence[ExistingAnnotations],
    staging: StagingDir,
    options: Options,
) -> RunPlan:
    there = find_manifest(staging.out)
    return RunPlan(
        manifest=manifest,
        listing_hash=detector.listing_hash,
        fresh=not existing,
        retry_failed=options.retry_failed,
        forget=options.forget,
        root=list(options.root),
        held=detector.held,
        part_size=options.part_size,
        base=file_sha256(there) if there.is_file() else "",
    )


def _load(model: Path, options: Options, report: Reporter) -> Backend | None:
    """Load the model; on a cluster the actors do."""
    if options.engine == "ray":
        return None
    backend = backends.create(options.backend, model, options.device, report.info)
    # a damaged file is said here too; `PartMaker` reads it for itself, on whichever machine
    familiarity_of(model, backend.info)
    return backend


def _make(staging: StagingDir, model: Path, backend: Backend | None, options: Options, report: Reporter) -> None:
    """Make the parts that are missing."""
    assert staging.plan is not None
    if options.num_workers is None:
        options = options._replace(num_workers=available_cores())
    job = AnnotateJob(staging.rows, staging.todo, staging.replaced, staging.plan.kept_parts, model.absolute(), options)
    missing = job.missing()
    if not missing:
        return
    with report.task("annotate", staging.plan.manifest.inputs, total_stats(staging.rows).count) as advance:
        if options.engine == "ray":
            from aaam_pipeline.annotate import cluster

            cluster.run(job, missing, advance, report)
            return
        with PartMaker(job, backend or _load(model, options, report)) as maker:
            report.info(f"annotating with {maker.mapper.info.model_id} ({model}), {maker.mapper.backend.title}")
            for _ in maker.make(missing, advance):
                pass


def _ended(
    manifest: AnnotationsManifest, held: str, options: Options, finished: Callable[[AnnotationsManifest], None]
) -> AnnotationsManifest:
    finished(manifest)
    failed = manifest.inputs - manifest.successes
    if failed > options.max_failure_rate * manifest.inputs:
        kinds = ", ".join(f"{count} {kind}" for kind, count in manifest.failures.items())
        raise FailureRateError(
            f"{failed} of {counted(manifest.inputs, 'image')} failed ({kinds}), more than --max-failure-rate "
            f"{options.max_failure_rate:g}; their rows say why" + (f". And {held}" if held else "")
        )
    if held:
        raise MissingFilesError(held)
    return manifest
