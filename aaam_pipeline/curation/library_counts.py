"""What one reading of a library gives for `health`, a label at a time.

Shapes: N photographs, L labels.
"""

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.curation.library import GivenLabels, Library
from aaam_pipeline.curation.review import given_errors
from aaam_pipeline.curation.snapshots import LibrarySnapshot, count_pairs, count_scores
from aaam_pipeline.formats.decisions import Decisions

Floats = NDArray[np.float64]

KEPT = 100
"""Doubted keywords that are kept of a label, the likeliest errors; all are counted."""

NOTHING, DEVIATIONS = 0.01, 3.0


class DoubtedKeyword(NamedTuple):
    """A keyword that is probably wrong (`given`), or forgotten; `row`: the photograph; `chance`: that it is so."""

    row: int
    label: str
    given: bool
    chance: float


class LibraryCounts(NamedTuple):
    """Counts of a library.

    `expected_L`: photographs that show a label, by its scores; `sure_L`: the mean score of those that have it;
    `keywords`: given labels, of which `wrong` are doubted; `unexplained`: those with a score of next to nothing, beyond
    what sound ones would have;
    `forgotten`: labels that were not given, which is doubted; the likeliest of both in `doubted`;
    `judged_scores`, `judged`: by label, the scores of what persons decided, and what they said.
    """

    snapshot: LibrarySnapshot
    expected_L: Floats
    sure_L: Floats
    keywords: int
    wrong: int
    unexplained: float
    forgotten: int
    doubted: list[DoubtedKeyword]
    judged_scores: list[Floats]
    judged: list[NDArray[np.int8]]


def count(library: Library, decisions: Decisions, facts: LibrarySnapshot, report: Reporter) -> LibraryCounts:
    """Read a library; `facts`: its snapshot without what is counted of labels."""
    given, labels = GivenLabels(library, decisions), library.labels
    tagged_N = given.tagged() if len(decisions) else np.zeros(len(library.digest_N), np.bool_)
    expected_L, sure_L = np.zeros(len(labels)), np.zeros(len(labels))
    assigned, scores, packed, doubted = [], [], [], list[DoubtedKeyword]()
    judged_scores, judged = list[Floats](), list[NDArray[np.int8]]()
    keywords = wrong = forgotten = 0
    disputed = np.zeros(2)
    with report.task("health", len(labels)) as advance:
        for column, label in enumerate(labels):
            score_N, assigned_N, given_N = library.scores(column), library.assigned(column), given.column(label)
            assigned.append(int(np.count_nonzero(assigned_N)))
            expected_L[column] = score_N.sum()
            sure_L[column] = score_N[assigned_N].mean() if assigned[-1] else 0.0
            scores.append(count_scores(score_N).tolist())
            packed.append(np.packbits(assigned_N))
            # what files say is only ever yes
            said_N = given.column(label, "person")
            judged_scores.append(score_N[said_N >= 0])
            judged.append(said_N[said_N >= 0])
            keywords += int(np.count_nonzero(given_N == 1))
            errors = given_errors(score_N, given_N, tagged_N)
            # a no that is doubted is no keyword
            errors = errors[given_N[errors] != 0]
            wrong_rows = errors[given_N[errors] == 1]
            wrong, forgotten = wrong + len(wrong_rows), forgotten + len(errors) - len(wrong_rows)
            disputed += _disputed(score_N, given_N, tagged_N)
            for row in errors[:KEPT].tolist():
                is_given = bool(given_N[row] == 1)
                chance = float(1 - score_N[row] if is_given else score_N[row])
                doubted.append(DoubtedKeyword(row, label, is_given, chance))
            advance(1)
    together = count_pairs(np.stack(packed)) if packed else []
    found, expected = disputed.tolist()
    # one more: of few, a single one is no surprise
    unexplained = max(0.0, found - expected - DEVIATIONS * (expected + 1) ** 0.5)
    snapshot = msgspec.structs.replace(facts, assigned=assigned, scores=scores, together=together)
    doubted.sort(key=lambda keyword: (-keyword.chance, keyword.label, keyword.row))
    return LibraryCounts(
        snapshot, expected_L, sure_L, keywords, wrong, unexplained, forgotten, doubted, judged_scores, judged
    )


def _disputed(score_N: Floats, given_N: NDArray[np.int8], tagged_N: NDArray[np.bool_]) -> Floats:
    """Return how many given labels have a score of next to nothing, and how many rightly given ones would have.

    Of photographs with a score p, a share of p shows the label, however small p is.
    """
    low_N = (score_N <= NOTHING) & ((given_N >= 0) | tagged_N)
    return np.array([np.count_nonzero(given_N[low_N] == 1), score_N[low_N].sum()])
