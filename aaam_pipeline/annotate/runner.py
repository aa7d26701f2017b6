"""`aaam-pipe annotate` and the stage `annotate`: inputs -> what is to be done -> parts -> a published folder.

Nothing is done twice and nothing is lost: see `changes` for what is to be done, `staging` for the folder in which it is
made, `parts` for the making, by this process or (`cluster`) by a Ray cluster.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aaam_pipeline.annotate import backends, inputs
from aaam_pipeline.annotate.backends import Backend
from aaam_pipeline.annotate.changes import ChangeCounts, ChangeDetector
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.annotate.parts import AnnotateJob, PartMaker
from aaam_pipeline.annotate.staging import ExistingAnnotations, RunPlan, StagingDir, total_stats, write_errors
from aaam_pipeline.core.artifacts import file_sha256, fingerprint, foreign
from aaam_pipeline.core.errors import FailureRateError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.portable_paths import portable
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.formats.parts import NAMES, VERSION, AnnotationsManifest, find_manifest
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.models.info import BundleInfo

__all__ = ["Options", "annotate", "preview"]

log = logging.getLogger(__name__)

NOTHING: Mapping[str, int] = {}


def annotate(
    items: Iterable[InputItem],
    model: Path,
    out: Path,
    options: Options,
    report: Reporter,
    skipped: Mapping[str, int] = NOTHING,
) -> AnnotationsManifest:
    """Annotate every input with the model `model` into the folder `out`; return its manifest.

    What is there already of the same work is kept: rows of inputs that have not changed, parts of an interrupted run.
    `skipped` is what `inputs.find` counts while `items` are listed: where they are not all there are, no row is
    dropped because its image is not among them.

    Raises:
        UsageError: `out` holds other work, is being written, or cannot be; the model or the device is not there.
        IntegrityError: the model or the annotations are damaged.
        AaamError: the disk is full.
        FailureRateError: all is written, but more than `max_failure_rate` of the images failed.
    """
    info = backends.model_info(options.backend, model, options.device)
    backend = None
    with write_errors(out), exclusive(out):
        staging = StagingDir(out)
        # what the detector holds in memory is free again when the work itself begins
        with ChangeDetector() as detector:
            detector.record(items)
            log.info("%d images listed; left out: %s", detector.inputs, dict(skipped) or "none")
            manifest = _identity(info, model, out, detector, options)
            existing = _existing(staging, manifest, options)
            if _resumable(staging, detector, manifest, options):
                done = total_stats(staging.rows).count
                report.info(f"resuming an interrupted run: {done} of {manifest.inputs} images are done")
            else:
                counts = _compare(detector, existing, options, report, skipped)
                if existing and _is_complete(existing[0], staging, counts, detector):
                    staging.discard()
                    what = f"{manifest.inputs} images, same model and settings"
                    report.info(f"{staging.out} is complete: {what}; nothing to do")
                    return _check_failures(existing[0].manifest, options)
                # before anything is written: a model or a device that is not there leaves nothing behind
                backend = _load(model, options, report) if counts.todo else None
                report.info(f"{manifest.inputs} images: {counts}")
                staging.begin(_plan(manifest, detector, existing, staging, options), detector, existing)
        _make(staging, model, backend, options, report)
        return _check_failures(staging.publish(), options)


def preview(
    items: Iterable[InputItem],
    model: Path,
    out: Path,
    options: Options,
    report: Reporter,
    skipped: Mapping[str, int] = NOTHING,
) -> ChangeCounts:
    """Return what `annotate` would do, and do nothing.

    Raises:
        UsageError, IntegrityError: as `annotate`.
    """
    info = backends.model_info(options.backend, model, options.device)
    with ChangeDetector() as detector:
        detector.record(items)
        existing = _existing(StagingDir(out), _identity(info, model, out, detector, options), options)
        return _compare(detector, existing, options, report, skipped)


def _identity(
    info: BundleInfo, model: Path, out: Path, detector: ChangeDetector, options: Options
) -> AnnotationsManifest:
    """Return the manifest as far as it is known before the work: two that are alike in it may be mixed."""
    settings: dict[str, Any] = options.assignment._asdict()
    return AnnotationsManifest(
        schema_version=VERSION,
        model_id=info.model_id,
        model_path=portable(model, out),
        vocabulary=info.vocabulary,
        vocabulary_hash=Vocabulary(info.vocabulary).hash,
        thresholds=info.thresholds,
        calibration=info.calibration,
        embedding_dim=0,
        settings=settings,
        settings_hash=fingerprint([VERSION, info.model_id, settings]),
        roots=detector.roots(),
        inputs=detector.inputs,
        repeated=detector.repeated(),
    )


def _existing(staging: StagingDir, manifest: AnnotationsManifest, options: Options) -> list[ExistingAnnotations]:
    """Return the annotations to build on, newest first; refuse those of another model or other settings."""
    out = staging.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder; choose another --out")
    whole = find_manifest(out).is_file()
    if out.exists() and any(out.iterdir()) and (not whole or foreign(out, *NAMES)):
        raise UsageError(f"{out} exists and is not an annotations folder; choose another --out")
    if options.on_existing == "overwrite":
        return []
    published = staging.published()
    if published and options.on_existing == "error":
        raise UsageError(f"{out} exists; choose another --out, or --on-existing resume or overwrite")
    interrupted = staging.interrupted()
    if interrupted and (difference := _difference(interrupted.manifest, manifest)):
        raise UsageError(
            f"an interrupted run of other work lies in {staging.folder} ({difference}); finish it, choose another "
            "--out, or drop it with --on-existing overwrite"
        )
    if interrupted and published and _difference(published.manifest, manifest):
        # it is being replaced
        return [interrupted]
    if published and (difference := _difference(published.manifest, manifest)):
        raise UsageError(f"{out} holds other work ({difference}); choose another --out or --on-existing overwrite")
    return [base for base in (interrupted, published) if base]


def _is_complete(
    existing: ExistingAnnotations, staging: StagingDir, counts: ChangeCounts, detector: ChangeDetector
) -> bool:
    """Return whether the annotations that are there are already what they should be."""
    current = existing.rows == staging.out and existing.manifest.schema_version == VERSION
    return current and not counts.todo and not detector.stale()


def _resumable(staging: StagingDir, detector: ChangeDetector, manifest: AnnotationsManifest, options: Options) -> bool:
    """Return whether an interrupted run was just this one: the same inputs, unchanged, and the same options."""
    plan = staging.plan
    if plan is None or plan.listing_hash != detector.listing_hash or _difference(plan.manifest, manifest):
        return False
    if plan.manifest.schema_version != VERSION:
        # its rows are kept by a plan of their own
        return False
    if options.on_existing == "overwrite":
        return plan.fresh
    return plan.retry_failed == options.retry_failed or (plan.fresh and not options.retry_failed)


def _compare(
    detector: ChangeDetector,
    existing: Sequence[ExistingAnnotations],
    options: Options,
    report: Reporter,
    skipped: Mapping[str, int],
) -> ChangeCounts:
    counts = detector.compare([each.parts for each in existing], options.retry_failed, report)
    forgotten = detector.forgotten_roots()
    if forgotten and not options.forget:
        names = ", ".join(forgotten[:3]) + (" ..." if len(forgotten) > 3 else "")
        raise UsageError(
            f"rows of {names} are there, but no image of it is among the inputs; name it too, choose another --out, "
            "or drop its rows with --forget"
        )
    if existing and existing[0].manifest.schema_version != VERSION:
        before = existing[0].manifest.schema_version
        report.info(f"the rows are of version {before}: they become version {VERSION}, and no image is opened for that")
    incomplete = [f"{skipped[kind]} {kind}" for kind in inputs.INCOMPLETE if skipped.get(kind)]
    if counts.deleted and incomplete and not options.forget:
        raise UsageError(
            f"{counts.deleted} rows have no image among the inputs, but these are not all ({', '.join(incomplete)}); "
            "choose another --out, or drop the rows with --forget"
        )
    return counts


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
        part_size=options.part_size,
        base=file_sha256(there) if there.is_file() else "",
    )


def _load(model: Path, options: Options, report: Reporter) -> Backend | None:
    """Load the model; on a cluster the actors do."""
    if options.engine == "ray":
        return None
    return backends.create(options.backend, model, options.device, report.info)


def _make(staging: StagingDir, model: Path, backend: Backend | None, options: Options, report: Reporter) -> None:
    """Make the parts that are missing."""
    assert staging.plan is not None
    if options.num_workers is None:
        options = options._replace(num_workers=available_cores())
    job = AnnotateJob(staging.rows, staging.todo, staging.plan.kept_parts, model.absolute(), options)
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


def _difference(before: AnnotationsManifest, now: AnnotationsManifest) -> str:
    """Say in words how two pieces of work differ; empty where they do not."""
    if before.model_id != now.model_id:
        return f"model {before.model_id}, not {now.model_id}"
    if (before.vocabulary, before.thresholds) != (now.vocabulary, now.thresholds):
        return "labels or thresholds that the model had before"
    if before.calibration != now.calibration:
        return "a calibration that the model had before"
    if before.settings != now.settings:
        names = [name for name in now.settings if now.settings[name] != before.settings.get(name)]
        return "; ".join(f"--{name} was {before.settings.get(name)}, not {now.settings[name]}" for name in names)
    return ""


def _check_failures(manifest: AnnotationsManifest, options: Options) -> AnnotationsManifest:
    failed = manifest.inputs - manifest.successes
    if failed > options.max_failure_rate * manifest.inputs:
        kinds = ", ".join(f"{count} {kind}" for kind, count in manifest.failures.items())
        raise FailureRateError(
            f"{failed} of {manifest.inputs} images failed ({kinds}), more than --max-failure-rate "
            f"{options.max_failure_rate:g}; their rows say why"
        )
    return manifest
