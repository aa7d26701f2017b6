"""Ranks images by decisions and, where there are none, by the model's word.

Shapes: N images of the index, R rows that are asked for.

In every expression a label is 1 for an image that it was decided for as `yes`, and 0 as `no`. Equal scores go by the
score that the model alone gives for the same query, filters as they are, and then by path. So decided images come
first, among themselves in the model's order.

Of a word that no model knows, the thesaurus may know what it was searched as; if not, an image that nothing was decided
of has a score of 0 for it.

Only images that anything was decided of are looked at here, all others by `ranker`: a search takes as long as without
decisions.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.search import query, ranker
from aaam_pipeline.search.overlay import DecidedImages, Ids
from aaam_pipeline.search.query import And, Constant, Label, Node, Not, Or, ScoreFilter, canonical
from aaam_pipeline.search.ranker import COMPARISONS, LeafValues, Rows

Images = Callable[[int], DecidedImages]
"""Returns the images that a label was decided for, by its id."""
Meaning = Callable[[int], tuple[int, ...] | None]
"""Returns the labels that a word which no model knows is searched as, by its id; None: a label that the model knows."""


class DecidedValues(LeafValues):
    """What an expression is computed from, with decisions; for single images, not for blocks of all."""

    def __init__(self, model: LeafValues, images: Images, meaning: Meaning, model_labels: bool = False) -> None:
        """Take the model's values and the decisions; `model_labels`: decisions are for filters on scores alone."""
        super().__init__(model.codes, model.mask)
        self.model, self.images, self.meaning = model, cache(images), meaning
        self._model_labels = model_labels

    def scores(self, label: int, rows: Rows) -> NDArray[np.float64]:
        """Return the scores of a label (R,)."""
        return self._decided(label, rows, ranker.scores(self.known(Label(label)), self.model_or_self(label), rows), 1.0)

    def complements(self, label: int, rows: Rows) -> NDArray[np.float64]:
        """Return the scores of the opposite of a label (R,)."""
        opposite = query.negated(self.known(Label(label)))
        return self._decided(label, rows, ranker.scores(opposite, self.model_or_self(label), rows), 0.0)

    def held(self, node: ScoreFilter, rows: Rows) -> NDArray[np.bool_]:
        """Return for which images a filter on a label's score holds (R,)."""
        held_R = ranker.scores(self.known(node), self.model_or_self(node.label), rows) > 0
        images, compare = self.images(node.label), COMPARISONS[node.operator]
        held_R[_isin(rows, images.yes)] = compare(1.0, float(node.value))
        held_R[_isin(rows, images.no)] = compare(0.0, float(node.value))
        return held_R

    def model_or_self(self, label: int) -> LeafValues:
        """Return what computes the expression that a label stands for where nothing was decided."""
        return self.model if self.meaning(label) is None else self

    def of_model(self) -> "DecidedValues":
        """Return the model's values, filters on scores as they are with decisions."""
        return DecidedValues(self.model, self.images, self.meaning, model_labels=True)

    def decided_images(self, node: Node, images: int) -> NDArray[np.bool_] | None:
        """Return for which images (N,) any label of an expression was decided; None: for none."""
        labels = {*query.labels(node), *query.labels(self.known(node))}
        found = [ids for label in labels for ids in self.images(label) if len(ids)]
        if not found:
            return None
        decided_N = np.zeros(images, np.bool_)
        for ids in found:
            decided_N[ids] = True
        return decided_N

    def known(self, node: Node) -> Node:
        """Return an expression with what they are searched as in place of the words that no model knows."""
        match node:
            case Label(id) if (labels := self.meaning(id)) is not None:
                return query.joined(Or, map(Label, labels)) if labels else Constant(0)
            case ScoreFilter(id, operator, value) if (labels := self.meaning(id)) is not None:
                if not labels:
                    return Constant(float(COMPARISONS[operator](0.0, float(value))))
                return query.filters_of(labels, operator, value)
            case Not(item):
                return query.negated(self.known(item))
            case And(items) | Or(items):
                return query.joined(type(node), map(self.known, items))
            case _:
                return node

    def _decided(self, label: int, rows: Rows, score_R: NDArray[np.float64], yes: float) -> NDArray[np.float64]:
        images = self.images(label)
        if not self._model_labels:
            score_R[_isin(rows, images.yes)] = yes
            score_R[_isin(rows, images.no)] = 1 - yes
        return score_R


def _isin(rows: Rows, ids: Ids) -> NDArray[np.bool_]:
    """Return which rows are among ids, which ascend: several times as fast as what NumPy has for any numbers."""
    rows = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
    if not len(ids):
        return np.zeros(len(rows), np.bool_)
    found: NDArray[np.bool_] = ids[np.searchsorted(ids, rows).clip(max=len(ids) - 1)] == rows
    return found


def best(
    node: Node, values: DecidedValues, path_rank_N: NDArray[np.int32], top: int, among: Ids | None = None
) -> tuple[Ids, NDArray[np.float64]]:
    """Return ids and scores of the `top` best hits, best first.

    `among`: rank only the images with these ids.
    """
    least = ranker.least_of(node)
    if among is not None:
        return _first(node, values, path_rank_N, top, *_hits(node, values, among, least))
    decided_N = values.decided_images(node, len(path_rank_N))
    others, other_score = ranker.best(values.known(node), values.model, path_rank_N, top, least, decided_N)
    if decided_N is None:
        return others, other_score
    rows, score = _hits(node, values, np.flatnonzero(decided_N), least)
    rows, score = np.concatenate([rows, others]), np.concatenate([score, other_score])
    return _first(node, values, path_rank_N, top, rows, score)


def _hits(node: Node, values: DecidedValues, rows: Ids, least: float) -> tuple[Ids, NDArray[np.float64]]:
    score_R = ranker.scores(canonical(node), values, rows)
    return rows[score_R >= least], score_R[score_R >= least]


def _first(
    node: Node,
    values: DecidedValues,
    path_rank_N: NDArray[np.int32],
    top: int,
    rows: Ids,
    score_R: NDArray[np.float64],
) -> tuple[Ids, NDArray[np.float64]]:
    """Return the `top` best of some hits, best first: by score, by the model's score, by path."""
    if len(rows) > top:
        chosen = score_R >= np.partition(score_R, -top)[-top]
        rows, score_R = rows[chosen], score_R[chosen]
    by_model_R = ranker.scores(canonical(node), values.of_model(), rows)
    if len(rows) > top:
        # of many that are decided, few are among the best of the model
        last = score_R == score_R.min()
        needed = top - int(np.count_nonzero(~last))
        chosen = ~last | (by_model_R >= np.partition(by_model_R[last], -needed)[-needed])
        rows, score_R, by_model_R = rows[chosen], score_R[chosen], by_model_R[chosen]
    order = np.lexsort((path_rank_N[rows], -by_model_R, -score_R))[:top]
    return rows[order], score_R[order]
