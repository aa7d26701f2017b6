"""Whether what lies at an output can be built on: annotations of the same work, whole or of an interrupted run."""

from aaam_pipeline.annotate.options import Options
from aaam_pipeline.annotate.staging import ExistingAnnotations, StagingDir
from aaam_pipeline.core.artifacts import foreign
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats.assignment import Assignment
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.formats.parts import (
    NAMES,
    AnnotationsManifest,
    find_manifest,
    is_without_manifest,
    read_annotations_manifest,
)


def existing(
    staging: StagingDir, manifest: AnnotationsManifest, options: Options, relabelled: bool = False
) -> list[ExistingAnnotations]:
    """Return the annotations to build on, newest first; refuse those of another model or other settings.

    `relabelled`: those that were published are looked at as if they had the same labels.
    """
    out = staging.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder; choose another --out")
    lost = is_without_manifest(out)
    whole = find_manifest(out).is_file() or lost
    others = foreign(out, *NAMES) if out.exists() else []
    if out.exists() and any(out.iterdir()) and (not whole or (others and not any(out.glob("part-*.parquet")))):
        raise UsageError(f"{out} exists and is not an annotations folder; choose another --out")
    if others:
        raise UsageError(
            f"{out} is replaced as a whole, but holds what annotate did not write: {', '.join(others[:3])}; move that "
            "elsewhere, or choose another --out"
        )
    if options.on_existing == "overwrite":
        return []
    if lost:
        # it says so
        read_annotations_manifest(out)
    published = staging.published()
    if published and options.on_existing == "error":
        raise UsageError(f"{out} exists; choose another --out, or --on-existing resume or overwrite")
    interrupted = staging.interrupted()
    if interrupted and (differs := difference(interrupted.manifest, manifest)):
        raise UsageError(
            f"an interrupted run of other work lies in {staging.folder} ({differs}); finish it, choose another "
            "--out, or drop it with --on-existing overwrite"
        )
    if interrupted and published and difference(published.manifest, manifest):
        # it is being replaced
        return [interrupted]
    if published and not relabelled and (differs := difference(published.manifest, manifest)):
        raise UsageError(f"{out} holds other work ({differs}); choose another --out or --on-existing overwrite")
    return [base for base in (interrupted, published) if base]


def difference(before: AnnotationsManifest, now: AnnotationsManifest) -> str:
    """Say in words how two pieces of work differ; empty where they do not."""
    if embedding_of(before.model_id) != embedding_of(now.model_id):
        return f"model {before.model_id}, not {now.model_id}"
    if before.vocabulary != now.vocabulary:
        return f"{len(before.vocabulary)} labels of {before.model_id}, not the {len(now.vocabulary)} of {now.model_id}"
    if _thresholds(before) and _thresholds(now) and before.thresholds != now.thresholds:
        return f"thresholds that the model had before, as {before.model_id}"
    if before.calibration != now.calibration:
        return f"a calibration that the model had before, as {before.model_id}"
    if before.model_id != now.model_id:
        return f"{before.model_id}, whose last layer is another one than that of {now.model_id}"
    if before.settings != now.settings:
        names = [name for name in now.settings if now.settings[name] != before.settings.get(name)]
        return "; ".join(f"--{name} was {before.settings.get(name)}, not {now.settings[name]}" for name in names)
    return ""


def _thresholds(manifest: AnnotationsManifest) -> bool:
    """Return whether labels were assigned by the manifest's thresholds, and not by one for all or by their rank."""
    rule = Assignment.of(manifest.settings, manifest.thresholds)
    return rule.limits(manifest.thresholds) == manifest.thresholds
