"""`aaam-pipe review`: which pairs of photograph and label are most worth a decision of a person.

Shapes: N photographs of the library, B photographs that are looked at closely, K neighbours.

What is decided is not asked again. A pair that is not decided is worth the rise of the word's average precision that
its decision is expected to bring (`expected_gain`), times the chance that what the model says now is wrong. For that
chance, the model's calibrated score is moved towards those of the nearest neighbours, or what was decided of these.
Labels that came from files are asked about where they are probably wrong (`label_errors`); so are labels that somebody
who tags photographs seems to have forgotten.

`python -m benchmarks review` measures what decisions in this order bring, beside others.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.curation.expected_gain import gains
from aaam_pipeline.curation.label_errors import label_errors
from aaam_pipeline.curation.library import GivenLabels, Library
from aaam_pipeline.formats.calibration import logit, sigmoid
from aaam_pipeline.formats.decisions import Decisions

Why = Literal["uncertain", "neighbours differ", "given, but unlikely", "not given, but likely"]

LOOKED_AT = 5000
"""Photographs whose neighbours are looked at: those with what is worth most, or all of a library of no more."""
NEIGHBOURS = 10
# how much the neighbours' log-odds count beside the model's
NEIGHBOUR_WEIGHT = 0.3
# a score beyond it, or below its complement, is no doubt of the model: it is the neighbours that say otherwise
SURE = 0.8
Floats = NDArray[np.float64]


class ReviewItem(NamedTuple):
    """A photograph (its row in the library) and a label to decide.

    `assigned`: whether it has the label now, by the model or as it was given; `score`: the model's; `neighbours`: the
    mean over the nearest photographs, None where they were not looked at; `chance_wrong`: that `assigned` is wrong;
    `worth`: the expected rise of the word's average precision times that.
    """

    row: int
    label: str
    assigned: bool
    why: Why
    score: float
    neighbours: float | None
    chance_wrong: float
    worth: float


class _Near(NamedTuple):
    """Rows that are looked at (B,), their neighbours' rows, and the weights of these, which add up to 1; (B, K)."""

    row_B: NDArray[np.intp]
    near_BK: NDArray[np.intp]
    weight_BK: Floats

    def mean(self, value_N: Floats, own_B: Floats) -> Floats:
        """Return the weighted mean over the neighbours (B,); of a photograph without any, its own value."""
        mean_B: Floats = (self.weight_BK * value_N[self.near_BK]).sum(1)
        return np.where(self.weight_BK.sum(1) > 0, mean_B, own_B)


def review(
    library: Library, decisions: Decisions, report: Reporter, *, labels: Sequence[str] = (), top: int = 50
) -> list[ReviewItem]:
    """Return the `top` pairs that are most worth a decision, best first, ties by label and row.

    `labels`: only pairs of these, which the library has; default: of all.
    """
    columns = [library.labels.index(label) for label in labels] or list(range(len(library.labels)))
    given, count = GivenLabels(library, decisions), len(library.digest_N)
    if not count:
        return []
    closely = min(LOOKED_AT, count)
    with report.task("review", len(columns) * (1 if closely == count else 2)) as advance:
        if closely == count:
            row_B = np.arange(count)
        else:
            best_N = np.zeros(count)
            for column in columns:
                np.maximum(best_N, _worth(library, given, column), out=best_N)
                advance(1)
            row_B = np.sort(np.argpartition(-best_N, closely - 1)[:closely])
            report.info(f"neighbours are looked at for {closely} of {count} photographs: those with most to decide")
        near = _neighbours(library, row_B)
        tagged_N = given.tagged() if len(decisions) else np.zeros(count, np.bool_)
        found: list[ReviewItem] = []
        for column in columns:
            found += _of_label(library, given, near, tagged_N, column, top)
            found = sorted(found, key=lambda item: (-item.worth, item.label, item.row))[:top]
            advance(1)
    return found


def _neighbours(library: Library, row_B: NDArray[np.intp]) -> _Near:
    near_BK, cosine_BK = library.neighbours(row_B, NEIGHBOURS)
    weight_BK = np.where(near_BK >= 0, np.maximum(cosine_BK, 0), 0).astype(np.float64)
    return _Near(row_B, near_BK, weight_BK / np.maximum(weight_BK.sum(1, keepdims=True), 1e-12))


def _worth(library: Library, given: GivenLabels, column: int) -> Floats:
    """Return what deciding each photograph is worth by the model's score alone (N,), 0 where it is decided."""
    score_N = library.scores(column)
    wrong_N = np.where(library.assigned(column), 1 - score_N, score_N)
    undecided_N = given.column(library.labels[column]) < 0
    worth_N: Floats = gains(score_N).expected(score_N) * wrong_N * undecided_N
    return worth_N


def _of_label(
    library: Library,
    given: GivenLabels,
    near: _Near,
    tagged_N: NDArray[np.bool_],
    column: int,
    top: int,
) -> Iterator[ReviewItem]:
    """Yield what of one label is worth most, `top` pairs of each kind at most."""
    label = library.labels[column]
    score_N, assigned_N, given_N = library.scores(column), library.assigned(column), given.column(label)
    gained = gains(score_N)
    # what was decided counts for the neighbours as it was decided
    neighbour_B = near.mean(np.where(given_N >= 0, given_N, score_N), score_N[near.row_B])
    score_B, assigned_B = score_N[near.row_B], assigned_N[near.row_B]
    chance_B = sigmoid((1 - NEIGHBOUR_WEIGHT) * logit(score_B) + NEIGHBOUR_WEIGHT * logit(neighbour_B))
    wrong_B = np.where(assigned_B, 1 - chance_B, chance_B)
    expected_B = chance_B * gained.yes_N[near.row_B] + (1 - chance_B) * gained.no_N[near.row_B]
    worth_B = np.where(given_N[near.row_B] < 0, expected_B * wrong_B, -1.0)
    errors = dict.fromkeys(given_errors(score_N, given_N, tagged_N).tolist())
    for place in _best(worth_B, top):
        row = int(near.row_B[place])
        why: Why = "neighbours differ" if abs(2 * score_B[place] - 1) > 2 * SURE - 1 else "uncertain"
        if row in errors and given_N[row] < 0:
            why = "not given, but likely"
        values = (score_B[place], neighbour_B[place], wrong_B[place], worth_B[place])
        yield ReviewItem(row, label, bool(assigned_B[place]), why, *map(float, values))
    # as if it were ranked behind all that were given the label: there a wrong one costs most
    by_person_N = given.column(label, "person")
    for row in [row for row in errors if given_N[row] == 1 and by_person_N[row] < 0][:top]:
        wrong = 1 - float(score_N[row])
        worth = wrong**2 * float(gained.no_N.max(initial=0.0))
        yield ReviewItem(row, label, True, "given, but unlikely", float(score_N[row]), None, wrong, worth)


def _best(value_B: Floats, top: int) -> list[int]:
    """Return where the `top` greatest values above 0 are, greatest first, ties by place."""
    if len(value_B) > top:
        chosen = np.flatnonzero(value_B >= np.partition(value_B, -top)[-top])
    else:
        chosen = np.arange(len(value_B))
    chosen = chosen[value_B[chosen] > 0]
    best: list[int] = chosen[np.argsort(-value_B[chosen], kind="stable")][:top].tolist()
    return best


def given_errors(score_N: Floats, given_N: NDArray[np.int8], tagged_N: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return rows whose given label is probably wrong, or that were tagged without it and probably show it.

    A photograph that somebody tagged counts as given the rest where this label is not among its tags.
    """
    rows = np.flatnonzero((given_N >= 0) | tagged_N)
    errors: NDArray[np.intp] = rows[label_errors(score_N[rows], given_N[rows] == 1)] if len(rows) else rows
    return errors
