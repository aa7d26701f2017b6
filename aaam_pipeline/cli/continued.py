"""The rule and the head with which `annotate` continues annotations: theirs, or the one that is named."""

from pathlib import Path
from typing import TYPE_CHECKING

from aaam_pipeline.cli.relabel import change_labels, other_head
from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.formats.assignment import Assignment

if TYPE_CHECKING:
    from aaam_pipeline.annotate.options import Options
    from aaam_pipeline.core.progress import Reporter
    from aaam_pipeline.formats.parts import AnnotationsManifest


def adapt(out: Path, bundle: Path, options: "Options", report: "Reporter", dry_run: bool) -> "tuple[Options, bool]":
    """Relabel annotations that annotate is to continue by another rule or another head.

    Returns:
        The options, with the rule of the annotations where none is given, and whether they are relabelled.
    """
    published, interrupted = _there(out, options)
    newest = interrupted or published
    if newest is None:
        return options, False
    from aaam_pipeline.annotate import backends
    from aaam_pipeline.formats.model_ids import embedding_of

    info = backends.model_info(options.backend, bundle, options.device)
    if options.assignment.takes_the_models:
        rule = Assignment.of(newest.settings, newest.thresholds)
        if rule.thresholds is not None and info.model_id != newest.model_id:
            report.info(f"the thresholds of {out} are those of {newest.model_id}: {info.model_id} takes its own")
            rule = rule._replace(thresholds=None)
        if not rule.takes_the_models:
            report.info(f"labels by {rule.described()}, as {out} has them; aaam-pipe relabel {out} changes that")
        options = options._replace(assignment=rule)
    # annotate refuses another embedding, and to begin other work where some is not finished
    if interrupted or published is None or embedding_of(info.model_id) != embedding_of(published.model_id):
        return options, False
    return options, _relabelled(out, bundle, info.model_id, published, options.assignment, report, dry_run)


def _relabelled(
    out: Path,
    bundle: Path,
    model_id: str,
    manifest: "AnnotationsManifest",
    rule: Assignment,
    report: "Reporter",
    dry_run: bool,
) -> bool:
    """Relabel, if the rule or the model is another one; return whether it is."""
    from aaam_pipeline.curation.relabel import described

    head = other_head(bundle, manifest, out) if model_id != manifest.model_id else None
    if described(manifest, out, rule, head) == manifest:
        return False
    by = f" and the head of {model_id}" if head else ""
    was = Assignment.of(manifest.settings, manifest.thresholds)
    report.info(f"{out} was labelled by {was.described()}: it is relabelled by {rule.described()}{by}")
    change_labels(out, rule, head, report, dry_run=dry_run)
    return True


def _there(out: Path, options: "Options") -> "tuple[AnnotationsManifest | None, AnnotationsManifest | None]":
    """Return the manifests of annotations to be continued, of those that were published and of an interrupted run."""
    from aaam_pipeline.annotate.staging import StagingDir

    if options.on_existing != "resume":
        return None, None
    try:
        staging = StagingDir(out)
        published, interrupted = staging.published(), staging.interrupted()
    except (AaamError, OSError):
        # said when the folder is opened to be continued
        return None, None
    return published and published.manifest, interrupted and interrupted.manifest
