"""`aaam-pipe diff --accept`: annotations take some labels from other annotations of the same photographs.

What was accepted is published in the place of the annotations before, in one step; what they were is kept beside them
(`kept_labels`), and `revert` restores it byte for byte. Killed at any time, the folder holds either.

Rows and embeddings are those of the annotations after. A label that was accepted has their scores and threshold, one
that is held those before; of a photograph that was not there before, a held label has what is known after.

Shapes: B rows of a part, L labels of what is published.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import fingerprint, publish, work_folder, write_checksummed
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.portable_paths import is_located, located, portable
from aaam_pipeline.core.progress import Advance, Reporter
from aaam_pipeline.core.text import counted
from aaam_pipeline.curation import kept_labels
from aaam_pipeline.curation.diff import UnitedLabels, columns_of
from aaam_pipeline.curation.matched_rows import MatchedRows, annotated_rows, matched_rows, tables
from aaam_pipeline.curation.relabel import check_replaceable, removed_on_error, undo, work_beside
from aaam_pipeline.formats.assignment import Assignment
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.formats.columns import fixed_size_list
from aaam_pipeline.formats.decisions import label_key
from aaam_pipeline.formats.labelling import assign
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.formats.part_files import write_part
from aaam_pipeline.formats.parts import (
    VERSION,
    AnnotationsManifest,
    annotations_schema,
    manifest_path,
    part_path,
    read_annotations_manifest,
    read_stats,
)
from aaam_pipeline.formats.vocabulary import Vocabulary

revert = undo
"""Restores what annotations were before labels were accepted, or before they were relabelled."""


class AcceptedLabels(NamedTuple):
    """What is published: labels, the column of each before and after (-1: it is not there), and which are accepted."""

    names: list[str]
    before_L: NDArray[np.intp]
    after_L: NDArray[np.intp]
    accepted_L: NDArray[np.bool_]

    @classmethod
    def of(cls, labels: UnitedLabels, accepted: Collection[str]) -> "AcceptedLabels":
        """Choose labels: a new one only if it is accepted; one that is gone unless that is accepted.

        Raises:
            UsageError: none would be left.
        """
        keys = {label_key(label) for label in accepted}
        taken_U = np.array([label_key(name) in keys for name in labels.names], np.bool_)
        kept = np.flatnonzero(np.where(taken_U, labels.after_U >= 0, labels.before_U >= 0))
        if not len(kept):
            raise UsageError("no label would be left: accept or hold others")
        names = [labels.names[label] for label in kept]
        return cls(names, labels.before_U[kept], labels.after_U[kept], taken_U[kept])


def accept(
    before: Path,
    after: Path,
    accepted: Collection[str],
    report: Reporter,
    *,
    drop_missing: bool = False,
    dry_run: bool = False,
) -> AnnotationsManifest:
    """Publish in the folder `before` what is accepted of `after`, and hold the rest; return the manifest of that.

    `accepted`: labels of either. `drop_missing`: also if photographs before are not there after: they have no row then.
    `dry_run`: nothing is written.

    Raises:
        UsageError: one is no folder of annotations, or they are one; labels of either were assigned by rank; the folder
            may not be replaced; photographs are missing after.
        IntegrityError: one is damaged.
        AaamError: the disk is full.
    """
    if before.resolve() == after.resolve():
        raise UsageError(f"{before} and {after} are one folder")
    *_, now = _planned(before, after, accepted)
    if dry_run:
        return now
    with exclusive(before):
        check_replaceable(before)
        kept_labels.settle(before)
        # another process may have written it until then
        old, new, labels, now = _planned(before, after, accepted)
        work = work_folder(work_beside(before))
        with removed_on_error(work, before):
            with (
                report.task("accept", old.parts + new.parts) as advance,
                matched_rows(before, old, work.parent, advance) as former,
            ):
                missing = _write(work, former, new, now, labels, before, after, advance)
            if missing and not drop_missing:
                raise UsageError(lacking(missing, before, after))
            now = write_checksummed(manifest_path(work), _counted(now, work))
            kept_labels.keep(before, now.hash)
            publish(work, before)
        kept_labels.settle(before)
    return now


def _planned(
    before: Path, after: Path, accepted: Collection[str]
) -> tuple[AnnotationsManifest, AnnotationsManifest, AcceptedLabels, AnnotationsManifest]:
    """Return what is there before and after, what is taken of both, and the manifest of that."""
    old, new = read_annotations_manifest(before), read_annotations_manifest(after)
    labels = AcceptedLabels.of(UnitedLabels.of(old.vocabulary, new.vocabulary), accepted)
    return old, new, labels, described(old, new, labels, before, after)


def lacking(missing: int, before: Path, after: Path) -> str:
    """Say that photographs would have no row."""
    have = "has no row" if missing == 1 else "have no row"
    return (
        f"{counted(missing, 'photograph')} of {before} {have} in {after}, and would have none in what is published: "
        "annotate them there, too, or leave them out with --drop-missing"
    )


def described(
    old: AnnotationsManifest, new: AnnotationsManifest, labels: AcceptedLabels, before: Path, after: Path
) -> AnnotationsManifest:
    """Return the manifest of what is published, but for what is counted.

    Raises:
        UsageError: labels of either were assigned by rank.
    """
    rules = [Assignment.of(each.settings, each.thresholds) for each in (old, new)]
    if any(rule.top is not None for rule in rules):
        raise UsageError(
            "labels were assigned by rank (--top), so none has a threshold of its own; aaam-pipe relabel gives them one"
        )
    limits = [rule.limits(each.thresholds) for rule, each in zip(rules, (old, new), strict=True)]
    chosen = list(zip(labels.accepted_L.tolist(), labels.before_L.tolist(), labels.after_L.tolist(), strict=True))

    def of_each(first: list[Any], second: list[Any]) -> list[Any]:
        return [second[later] if taken else first[earlier] for taken, earlier, later in chosen]

    words = of_each(old.words, new.words) if old.words and new.words else []
    calibration = None
    if old.calibration and new.calibration:
        slopes = of_each(old.calibration.slopes, new.calibration.slopes)
        calibration = Calibration(slopes, of_each(old.calibration.biases, new.calibration.biases))
    # all of one model: its annotations go on as they are
    whole = bool(labels.accepted_L.all()) and labels.names == new.vocabulary
    rule = rules[1] if whole else Assignment(thresholds=tuple(of_each(*limits)))
    settings = {name: value for name, value in new.settings.items() if name not in Assignment._fields} | rule.settings()
    model_id = _model_id(old, new, labels)
    return msgspec.structs.replace(
        new,
        schema_version=VERSION,
        model_id=model_id,
        model_path=portable(Path(located(new.model_path, after)), before),
        vocabulary=labels.names,
        vocabulary_hash=Vocabulary(labels.names).hash,
        thresholds=new.thresholds if whole else list(rule.thresholds or ()),
        settings=settings,
        settings_hash=fingerprint([VERSION, model_id, settings]),
        roots=sorted(_root(root, before, after) for root in new.roots),
        calibration=calibration,
        words=words,
        hash="",
    )


def _model_id(old: AnnotationsManifest, new: AnnotationsManifest, labels: AcceptedLabels) -> str:
    """Return the id of what gives these scores: that of the model, where it is one."""
    if labels.accepted_L.all() and labels.names == new.vocabulary:
        return new.model_id
    if (old.model_id, old.calibration, labels.names) == (new.model_id, new.calibration, new.vocabulary):
        return new.model_id
    mixed = [old.model_id, new.model_id, labels.names, labels.accepted_L.tolist()]
    embedding = embedding_of(new.model_id)
    name = new.model_id.split(f"-{embedding}-")[0] if embedding != new.model_id else new.model_id
    return f"{name}-{embedding}-{fingerprint(mixed)[:8]}"


def _write(
    work: Path,
    former: MatchedRows,
    new: AnnotationsManifest,
    now: AnnotationsManifest,
    labels: AcceptedLabels,
    before: Path,
    after: Path,
    advance: Advance,
) -> int:
    """Write the parts into `work`; return how many photographs before are in none of them."""
    limits = Assignment.of(now.settings, now.thresholds).limits(now.thresholds)
    seen_N = np.zeros(len(former), np.bool_)
    schema = annotations_schema(len(now.vocabulary), now.embedding_dim)
    # an accepted label is read after, a held one before, where there is such a row
    from_before_L = ~labels.accepted_L
    for number, table in enumerate(tables(after, new, advance)):
        rows = annotated_rows(table, new.vocabulary)
        row_B = former.find(rows)
        mixed_BL = columns_of(rows.scores_NL, labels.after_L)
        there_B = np.flatnonzero(row_B >= 0)
        seen_N[row_B[there_B]] = True
        held_BL = columns_of(former.scores(row_B[there_B]), labels.before_L)
        mixed_BL[np.ix_(there_B, from_before_L)] = held_BL[:, from_before_L]
        annotated_N = pc.equal(table["status"], "ok").to_numpy()
        scores_NL = np.zeros((len(table), len(now.vocabulary)), np.float32)
        scores_NL[annotated_N] = mixed_BL
        assigned = assign(scores_NL, now.vocabulary, limits, None, annotated_N)
        scores = fixed_size_list(scores_NL)
        made = {
            "labels": assigned[0],
            "label_scores": assigned[1],
            "scores": pc.if_else(pa.array(annotated_N), scores, pa.scalar(None, scores.type)),
            "model_id": pa.repeat(now.model_id, len(table)),
            "root": pa.array([_root(root, before, after) for root in table["root"].to_pylist()], pa.string()),
        }
        columns = [made.get(name, table[name]) for name in schema.names]
        write_part(part_path(work, number), pa.Table.from_arrays(columns, schema=schema))
    return former.missing(seen_N)


def _root(root: str, before: Path, after: Path) -> str:
    """Return a root as annotations in the folder `before` name it: one that is relative begins at the folder."""
    return root if is_located(root) else portable(Path(located(root, after)), before)


def _counted(manifest: AnnotationsManifest, work: Path) -> AnnotationsManifest:
    """Return the manifest with the sum of what its rows stand for."""
    stats = [read_stats(part_path(work, number)) for number in range(manifest.parts)]
    total = sum(int(each.inputs_hash, 16) for each in stats) % 2**128
    return msgspec.structs.replace(manifest, inputs_hash=f"{total:032x}")
