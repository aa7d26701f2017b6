"""What decisions bring in the order of `aaam-pipe review`, beside other orders: a simulated person knows the truth.

The starter's scores of photographs that it was not trained on. `everyday`: its validation split, of which half of the
pairs of photograph and word are known; only these are asked. Corel-5k: the dev split, other people's words. Each seed
takes four photographs of five; decisions are made in rounds, and each round sees those before it.

Then keywords as people wrote them, the true ones of `everyday`, of which one in twenty was replaced by another word:
how many of the keywords listed first are wrong ones.

Shapes: N photographs, L labels, D embedding, K neighbours.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.annotate import backends
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.curation.review import review
from aaam_pipeline.formats.calibration import calibrate, logit
from aaam_pipeline.formats.decisions import Decision, Decisions, resolve
from aaam_pipeline.metrics.neighbours import nearest
from aaam_pipeline.metrics.retrieval import label_sets, query_ap
from aaam_pipeline.models.inference import Backend
from aaam_pipeline.models.library import STARTER_FOLDER
from benchmarks.material import SHARED
from benchmarks.scored_library import ScoredLibrary, Scores
from benchmarks.starter_material import Targets, corel_dev, everyday_val, pixels_of
from benchmarks.table import Report

MINUTES = (3.0, 8.0)
ROUNDS, ROUND = 4, 250
WRONG_KEYWORDS = 0.05
Order = Callable[["Judged", list[Decision], int], Iterator[tuple[int, int]]]
"""Yields pairs (row, label), best first, at least so many that a person can decide, given what was decided before."""


class Judged(ScoredLibrary):
    """Photographs with the truth: 1, 0, -1 unknown."""

    def __init__(
        self, labels: list[str], threshold_L: Scores, score_NL: Scores, embedding_ND: Scores, targets_NL: Targets
    ) -> None:
        super().__init__(labels, threshold_L, score_NL)
        self.embedding_ND, self.targets_NL = embedding_ND, targets_NL
        self._near = nearest(embedding_ND, 10)

    def neighbours(self, row_B: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        ids_NK, cosines_NK = self._near
        return ids_NK[row_B, :count], cosines_NK[row_B, :count]

    def part(self, chance: np.random.Generator) -> "Judged":
        """Return four photographs of five."""
        rows = np.sort(chance.permutation(len(self.score_NL))[: len(self.score_NL) * 4 // 5])
        return Judged(
            self.labels, self.threshold_L, self.score_NL[rows], self.embedding_ND[rows], self.targets_NL[rows]
        )

    def decision(self, row: int, label: int) -> Decision:
        """Return what a person says who knows the truth."""
        value = "yes" if self.targets_NL[row, label] > 0 else "no"
        return Decision(sha256=self.hashes[row], label=self.labels[label], value=value, by="person")  # type: ignore[arg-type]

    def wrong(self) -> NDArray[np.bool_]:
        """Return what the model assigned wrongly, or did not assign and should have, (N, L)."""
        wrong_NL: NDArray[np.bool_] = (self.score_NL >= self.threshold_L) != (self.targets_NL > 0)
        return wrong_NL & (self.targets_NL >= 0)

    def mean_ap(self, pairs: list[tuple[int, int]]) -> float:
        """Return the mean average precision over the words, once pairs are decided: a yes ranks first, a no last."""
        score_NL = np.clip(self.score_NL, 0.002, 0.998)
        for row, label in pairs:
            yes = self.targets_NL[row, label] > 0
            score_NL[row, label] = 0.999 + self.score_NL[row, label] * 9e-4 if yes else 0.0
        return float(query_ap(score_NL, self.targets_NL, label_sets(self.targets_NL, 1)).mean())


class Outcome(NamedTuple):
    """After each round: labels put right, and how much the mean average precision has risen, in points."""

    put_right: list[int]
    risen: list[float]


def run(report: Report, full: bool = False) -> None:
    """Simulate the person, by several orders and seeds."""
    seeds = 5 if full else 2
    sets = {"everyday, validation": everyday(), "Corel-5k, dev": corel()}
    names = ["", "order", *(f"{ROUND * (number + 1)} decisions" for number in range(ROUNDS))]
    right = report.table("wrong labels put right", names)
    risen = report.table("points of mean average precision gained", names)
    for name, judged in sets.items():
        parts = [judged.part(np.random.default_rng(seed)) for seed in range(seeds)]
        found = {
            title: [simulate(part, order, seed) for seed, part in enumerate(parts)] for title, order in ORDERS.items()
        }
        for title, each in found.items():
            right([name, title, *(_spread([one.put_right[n] for one in each], 0) for n in range(ROUNDS))])
        for title, each in found.items():
            risen([name, title, *(_spread([one.risen[n] for one in each], 2) for n in range(ROUNDS))])
    add = report.table(
        f"keywords of which {WRONG_KEYWORDS:.0%} are wrong: share of wrong ones among the first",
        ["order", "25", "50", "100"],
    )
    results = [keyword_errors(sets["everyday, validation"], np.random.default_rng(seed)) for seed in range(seeds)]
    for title in results[0]:
        add([title, *(_spread([100 * each[title][n] for each in results], 0) + " %" for n in range(3))])
    report.note(f"Mean and standard deviation over {seeds} seeds. Random is what deciding without any order brings.")


def simulate(judged: Judged, order: Order, seed: int) -> Outcome:
    """Decide `ROUND` pairs in each of `ROUNDS` rounds."""
    known, wrong, before = judged.targets_NL >= 0, judged.wrong(), judged.mean_ap([])
    decided: dict[tuple[int, int], None] = {}
    outcome = Outcome([], [])
    judged_order = order(judged, [], seed) if order in FIXED else None
    for number in range(ROUNDS):
        made = [judged.decision(*pair) for pair in decided]
        for pair in judged_order or order(judged, made, seed):
            if known[pair]:
                decided.setdefault(pair)
            if len(decided) == ROUND * (number + 1):
                break
        pairs = list(decided)
        outcome.put_right.append(sum(bool(wrong[pair]) for pair in pairs))
        outcome.risen.append(100 * (judged.mean_ap(pairs) - before))
    return outcome


def by_review(judged: Judged, made: list[Decision], seed: int) -> Iterator[tuple[int, int]]:
    columns = {label: column for column, label in enumerate(judged.labels)}
    for item in review(judged, resolve(made), NullReporter(), top=20 * ROUND):
        yield item.row, columns[item.label]


def by_chance(judged: Judged, made: list[Decision], seed: int) -> Iterator[tuple[int, int]]:
    yield from _in_order(np.random.default_rng(seed).random(judged.score_NL.shape))


def by_entropy(judged: Judged, made: list[Decision], seed: int) -> Iterator[tuple[int, int]]:
    yield from _in_order(-np.abs(judged.score_NL - 0.5))


def by_threshold(judged: Judged, made: list[Decision], seed: int) -> Iterator[tuple[int, int]]:
    yield from _in_order(-np.abs(logit(judged.score_NL) - logit(judged.threshold_L)))


def by_doubt(judged: Judged, made: list[Decision], seed: int) -> Iterator[tuple[int, int]]:
    assigned_NL = judged.score_NL >= judged.threshold_L
    yield from _in_order(np.where(assigned_NL, 1 - judged.score_NL, judged.score_NL))


ORDERS: dict[str, Order] = {
    "at random": by_chance,
    "entropy of the score": by_entropy,
    "nearest the threshold": by_threshold,
    "most likely wrong": by_doubt,
    "`review`": by_review,
}
FIXED = (by_chance, by_entropy, by_threshold, by_doubt)


def keywords_with_errors(
    judged: Judged, chance: np.random.Generator, share: float
) -> tuple[dict[tuple[int, int], bool], Decisions]:
    """Return the true keywords, a share of them replaced by other words: which are wrong, and all as files say them."""
    rows, labels = np.nonzero(judged.targets_NL > 0)
    replaced = chance.random(len(rows)) < share
    shown = [labels[rows == row] for row in range(len(judged.score_NL))]
    keywords = {}
    for row, label, wrong in zip(rows.tolist(), labels.tolist(), replaced.tolist(), strict=True):
        # a word that is known not to be there
        absent = np.flatnonzero(judged.targets_NL[row] == 0)
        other = int(chance.choice(absent)) if wrong and len(absent) else label
        keywords[row, other] = other not in shown[row]
    tags = resolve(
        Decision(sha256=judged.hashes[row], label=judged.labels[label], value="yes", by="file")
        for row, label in keywords
    )
    return keywords, tags


def keyword_errors(judged: Judged, chance: np.random.Generator) -> dict[str, list[float]]:
    """Return by order the share of wrong keywords among the first 25, 50 and 100 that are listed."""
    keywords, tags = keywords_with_errors(judged, chance, WRONG_KEYWORDS)
    columns = {label: column for column, label in enumerate(judged.labels)}
    asked = (item for label in judged.labels for item in review(judged, tags, NullReporter(), labels=[label], top=1000))
    doubted = sorted((item for item in asked if item.why == "given, but unlikely"), key=lambda item: -item.worth)
    listed = [(item.row, columns[item.label]) for item in doubted]
    surest = [(item.row, columns[item.label]) for item in sorted(doubted, key=lambda item: -item.chance_wrong)]
    pairs = list(keywords)
    orders = {
        "at random": [pairs[place] for place in chance.permutation(len(pairs))],
        "least score": sorted(pairs, key=lambda pair: judged.score_NL[pair]),
        "`review`, by `worth`": listed,
        "`review`, by `chance_wrong`": surest,
    }
    return {
        name: [float(np.mean([keywords[pair] for pair in order[:count]])) for count in (25, 50, 100)]
        for name, order in orders.items()
    }


def everyday() -> Judged:
    """Return the validation split of `everyday`, by the starter."""
    backend = _starter()
    paths, targets_NL, _ = everyday_val(SHARED / "data" / "everyday", backend.info.vocabulary)
    return _judged(backend, paths, targets_NL, list(range(len(backend.info.vocabulary))))


def corel() -> Judged:
    """Return the dev split of Corel-5k, by the starter."""
    backend = _starter()
    (paths, targets_NL, columns), _ = corel_dev(SHARED / "data" / "corel5k", backend.info.vocabulary)
    return _judged(backend, paths, targets_NL, columns)


def _starter() -> Backend:
    return backends.create("openvino", STARTER_FOLDER, "cpu")


def _judged(backend: Backend, paths: list[Path], targets_NL: Targets, columns: list[int]) -> Judged:
    found = [backend.start(pixels)() for pixels in pixels_of(paths, backend.info)]
    score_NL = calibrate(np.concatenate([each.scores_BL for each in found]), backend.info.calibration)
    return Judged(
        [backend.info.vocabulary[column] for column in columns],
        np.asarray(backend.info.thresholds)[columns],
        np.asarray(score_NL, np.float64)[:, columns],
        np.concatenate([each.embedding_BD for each in found]),
        targets_NL,
    )


def _in_order(value_NL: Scores) -> Iterator[tuple[int, int]]:
    for place in np.argsort(-value_NL, axis=None, kind="stable").tolist():
        yield divmod(place, value_NL.shape[1])


def _spread(values: list[float] | list[int], digits: int) -> str:
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"
