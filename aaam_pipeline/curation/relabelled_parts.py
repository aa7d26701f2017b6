"""A part of annotations with other labels, and with the scores of another head where there is one.

Shapes: N rows, A annotated ones, L labels, D embedding.
"""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.curation.label_changes import LabelChanges
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.assignment import Assignment
from aaam_pipeline.formats.columns import fixed_size_list, to_matrix
from aaam_pipeline.formats.familiarity import Familiarity
from aaam_pipeline.formats.head import LinearHead
from aaam_pipeline.formats.labelling import assign
from aaam_pipeline.formats.older_parts import to_current
from aaam_pipeline.formats.parts import AnnotationsManifest, annotations_schema, is_current, part_path, round_scores
from aaam_pipeline.formats.words import WordSupport


class OtherHead(NamedTuple):
    """The head of a bundle that computes the embedding of some annotations, as what reads bundles hands it over.

    `bundle`: its folder; `familiarity`: how it tells unfamiliar pictures, None where it cannot.
    """

    bundle: Path
    model_id: str
    vocabulary: list[str]
    head: LinearHead
    words: list[WordSupport]
    familiarity: Familiarity | None = None


class PartReviser(NamedTuple):
    """Makes parts of the annotations that `now` describes. `head`: None where rows keep their scores."""

    now: AnnotationsManifest
    labels: list[str]
    head: OtherHead | None

    def revise(self, part: Path, target: Path | None) -> LabelChanges:
        """Write a part as `target` (None: nowhere); return what changes. A part that stays as it is becomes a link.

        Raises:
            IntegrityError: the part is damaged.
        """
        source = "embedding" if self.head else "scores"
        # to count changes, three columns are enough; those of an older version have other types
        few = target is None and is_current(part)
        read = part_files.read_part(part, ["status", "labels", source] if few else None)
        rows = read if few else to_current(read)
        annotated_N = pc.equal(rows["status"], "ok").to_numpy()
        new = self._columns(to_matrix(rows[source].combine_chunks().filter(pa.array(annotated_N))), annotated_N)
        changes = LabelChanges.between(self.labels, rows["labels"], new["labels"])
        if target is None:
            return changes
        same = self.head is None and all(rows[name].combine_chunks().equals(new[name]) for name in new)
        if same and is_current(part):
            part_files.link_part(part, target)
        else:
            schema = annotations_schema(len(self.now.vocabulary), self.now.embedding_dim)
            columns = [new.get(name, rows[name]) for name in schema.names]
            part_files.write_part(target, pa.Table.from_arrays(columns, schema=schema))
        return changes

    def _columns(self, values_AD: NDArray[np.float32], annotated_N: NDArray[np.bool_]) -> dict[str, pa.Array]:
        """Return the columns that are made anew of embeddings, or of scores where there is no head."""
        scores_NL = np.zeros((len(annotated_N), len(self.now.vocabulary)), np.float32)
        scores_NL[annotated_N] = round_scores(self.head.head.scores(values_AD)) if self.head else values_AD
        rule = Assignment.of(self.now.settings, self.now.thresholds)
        limits_L = rule.limits(self.now.thresholds)
        labels, label_scores = assign(scores_NL, self.now.vocabulary, limits_L, rule.top, annotated_N)
        made: dict[str, Any] = {"labels": labels, "label_scores": label_scores}
        if self.head:
            scores = fixed_size_list(scores_NL)
            made["scores"] = pc.if_else(pa.array(annotated_N), scores, pa.scalar(None, scores.type))
            made["unfamiliar"] = _unfamiliar(self.head.familiarity, values_AD, annotated_N)
            made["model_id"] = pa.repeat(self.head.model_id, len(annotated_N))
        return made


def _unfamiliar(
    familiarity: Familiarity | None, values_AD: NDArray[np.float32], annotated_N: NDArray[np.bool_]
) -> pa.Array:
    """Return whether each row's picture is unlike those of training; null where it failed, or nobody can tell."""
    if familiarity is None:
        return pa.nulls(len(annotated_N), pa.bool_())
    unfamiliar_N = np.zeros(len(annotated_N), bool)
    unfamiliar_N[annotated_N] = familiarity.unfamiliar(values_AD)
    return pa.array(unfamiliar_N, mask=~annotated_N)


def label_counts(folder: Path, manifest: AnnotationsManifest, report: Reporter) -> Counter[str]:
    """Return how many rows of annotations have each label."""
    found: Counter[str] = Counter()
    with report.task("count labels", manifest.parts) as advance:
        for number in range(manifest.parts):
            column = part_files.read_part(part_path(folder, number), ["labels"])["labels"]
            counts = pc.value_counts(pc.list_flatten(column.combine_chunks()))
            found.update(dict(zip(*(counts.field(name).to_pylist() for name in (0, 1)), strict=True)))
            advance(1)
    return found
