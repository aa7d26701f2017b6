"""`aaam-pipe diff`: two annotations of the same photographs, label by label.

Shapes: B rows of a part, U labels of either, P pairs of photograph and label.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.curation.matched_rows import AnnotatedRows, annotated_rows, matched_rows, tables
from aaam_pipeline.curation.precision import ExpectedPrecision, Strata
from aaam_pipeline.formats.decisions import Decisions, label_key
from aaam_pipeline.formats.parts import read_annotations_manifest

Known = Literal["both", "before", "after"]
Value = TypeVar("Value", np.bool_, np.float32)


class SampledPhotograph(NamedTuple):
    """A photograph that is shown: its place, and the score of the label, by the annotations that know it."""

    root: str
    path: str
    sha256: str
    score: float


class LabelDiff(NamedTuple):
    """Of one label: which annotations know it, photographs that have it, and those that gain and lose it.

    `disputed`: photographs of which somebody decided otherwise than the annotations after; `..._precision`: which share
    of those gained show the label, and of those lost did; `..._sample`: some of them, drawn evenly.
    """

    label: str
    known: Known
    before: int
    after: int
    gained: int
    lost: int
    disputed: int
    gained_precision: ExpectedPrecision | None
    lost_precision: ExpectedPrecision | None
    gained_sample: list[SampledPhotograph]
    lost_sample: list[SampledPhotograph]

    @property
    def differs(self) -> bool:
        """Return whether the annotations differ in it: by a photograph, or since one of them does not know it."""
        return bool(self.gained or self.lost or self.known != "both")


class AnnotationsDiff(NamedTuple):
    """All labels, most changed first; photographs that both hold, and those of one: `only_before`, `only_after`."""

    labels: list[LabelDiff]
    photographs: int
    only_before: int
    only_after: int


class UnitedLabels(NamedTuple):
    """The labels of two vocabularies, and the column of each in both; -1: it is not there."""

    names: list[str]
    before_U: NDArray[np.intp]
    after_U: NDArray[np.intp]

    @classmethod
    def of(cls, before: Sequence[str], after: Sequence[str]) -> "UnitedLabels":
        """Unite the labels of two vocabularies: those after first, spelled as there."""
        old, new = ({label_key(label): column for column, label in enumerate(each)} for each in (before, after))
        names = [*after, *(label for label in before if label_key(label) not in new)]
        columns = (np.array([each.get(label_key(name), -1) for name in names], np.intp) for each in (old, new))
        return cls(names, *columns)

    def known(self, label: int) -> Known:
        """Return which annotations know a label."""
        if self.before_U[label] < 0:
            return "after"
        return "before" if self.after_U[label] < 0 else "both"


class _Counts:
    """What is counted, part by part."""

    def __init__(self, labels: UnitedLabels, decisions: Decisions, samples: int) -> None:
        count = len(labels.names)
        self.labels, self.samples = labels, samples
        self.said = [decisions.of_label(name) for name in labels.names]
        self.before_U, self.after_U, self.disputed_U = (np.zeros(count, np.int64) for _ in range(3))
        self.gained, self.lost = Strata.none(count), Strata.none(count)
        self.shown: tuple[list[_Sample], list[_Sample]] = ([[] for _ in range(count)], [[] for _ in range(count)])

    def add(self, rows: AnnotatedRows, old_scores_BL: NDArray[np.float32], old_BL: NDArray[np.bool_]) -> None:
        """Count photographs that both annotations hold: `rows` after, and what was before."""
        old_BU, new_BU = columns_of(old_BL, self.labels.before_U), columns_of(rows.assigned_NL, self.labels.after_U)
        self.before_U += old_BU.sum(0)
        self.after_U += new_BU.sum(0)
        given_BU = self._given(rows.digest_N)
        self.disputed_U += ((given_BU >= 0) & (given_BU != new_BU)).sum(0)
        # where both models know the label, what both say of it
        score_BU = columns_of(old_scores_BL, self.labels.before_U).astype(np.float64)
        score_BU += columns_of(rows.scores_NL, self.labels.after_U)
        score_BU /= (self.labels.before_U >= 0).astype(np.float64) + (self.labels.after_U >= 0)
        for strata, shown, changed_BU in (
            (self.gained, self.shown[0], new_BU & ~old_BU),
            (self.lost, self.shown[1], old_BU & ~new_BU),
        ):
            row_P, label_P = np.nonzero(changed_BU)
            strata.add(label_P, score_BU[row_P, label_P], given_BU[row_P, label_P])
            if self.samples:
                self._show(rows, shown, row_P, label_P, score_BU)

    def _given(self, digest_N: NDArray[np.bytes_]) -> NDArray[np.int8]:
        given_BU = np.full((len(digest_N), len(self.said)), -1, np.int8)
        for label, both in enumerate(self.said):
            for value, digests in zip((1, 0), both, strict=True):
                if len(digests):
                    place_B = np.searchsorted(digests, digest_N).clip(max=len(digests) - 1)
                    given_BU[digests[place_B] == digest_N, label] = value
        return given_BU

    def _show(
        self,
        rows: AnnotatedRows,
        shown: "list[_Sample]",
        row_P: NDArray[np.intp],
        label_P: NDArray[np.intp],
        score_BU: NDArray[np.float64],
    ) -> None:
        """Keep the photographs of the least hashes: these are a random sample, and the same one each time."""
        for row, label in zip(row_P.tolist(), label_P.tolist(), strict=True):
            sha256 = rows.digest_N[row : row + 1].tobytes().hex()
            kept = shown[label]
            if len(kept) < self.samples or sha256 < kept[-1][0]:
                photograph = SampledPhotograph(rows.roots[row], rows.paths[row], sha256, float(score_BU[row, label]))
                kept.append((sha256, photograph))
                kept.sort()
                del kept[self.samples :]


_Sample = list[tuple[str, SampledPhotograph]]


def compare(
    before: Path, after: Path, decisions: Decisions, report: Reporter, *, samples: int = 0, scratch: Path | None = None
) -> AnnotationsDiff:
    """Compare two folders of annotations; `samples`: photographs of each label that are shown.

    `scratch`: a folder for a file of the scores before, which is removed; default: the folder that `before` lies in, or
    the system's where that cannot be written to.

    Raises:
        UsageError: one is no folder of annotations.
        IntegrityError: one is damaged.
    """
    old, new = read_annotations_manifest(before), read_annotations_manifest(after)
    beside = before.resolve().parent
    place = scratch or (beside if os.access(beside, os.W_OK) else Path(tempfile.gettempdir()))
    labels = UnitedLabels.of(old.vocabulary, new.vocabulary)
    counts, found, only_after = _Counts(labels, decisions, samples), 0, 0
    with (
        report.task("diff", old.parts + new.parts) as advance,
        matched_rows(before, old, place, advance) as former,
    ):
        seen_N = np.zeros(len(former), np.bool_)
        for table in tables(after, new, advance):
            rows = annotated_rows(table, new.vocabulary)
            row_B = former.find(rows)
            there_B = row_B >= 0
            only_after += int(np.count_nonzero(~there_B))
            found += int(np.count_nonzero(there_B))
            seen_N[row_B[there_B]] = True
            counts.add(taken(rows, there_B), former.scores(row_B[there_B]), former.assigned(row_B[there_B]))
        missing = former.missing(seen_N)
    each = [_label(counts, label, labels.known(label)) for label in range(len(labels.names))]
    each.sort(key=lambda one: (-(one.gained + one.lost), one.label))
    return AnnotationsDiff(each, found, missing, only_after)


def taken(rows: AnnotatedRows, chosen_N: NDArray[np.bool_]) -> AnnotatedRows:
    """Return some of the rows."""
    paths, roots = ([each[row] for row in np.flatnonzero(chosen_N)] for each in (rows.paths, rows.roots))
    scores_NL, assigned_NL = rows.scores_NL[chosen_N], rows.assigned_NL[chosen_N]
    return AnnotatedRows(rows.digest_N[chosen_N], rows.place_N[chosen_N], scores_NL, assigned_NL, paths, roots)


def _label(counts: _Counts, label: int, known: Known) -> LabelDiff:
    gained, lost = (int(strata.pairs_LH[label].sum()) for strata in (counts.gained, counts.lost))
    return LabelDiff(
        counts.labels.names[label],
        known,
        int(counts.before_U[label]),
        int(counts.after_U[label]),
        gained,
        lost,
        int(counts.disputed_U[label]),
        counts.gained.precision(label),
        counts.lost.precision(label),
        [photograph for _, photograph in counts.shown[0][label]],
        [photograph for _, photograph in counts.shown[1][label]],
    )


def columns_of(values_BL: NDArray[Value], column_U: NDArray[np.intp]) -> NDArray[Value]:
    """Return columns by their number, (B, U); 0 or False where it is -1."""
    found_BU = np.zeros((len(values_BL), len(column_U)), values_BL.dtype)
    found_BU[:, column_U >= 0] = values_BL[:, column_U[column_U >= 0]]
    return found_BU
