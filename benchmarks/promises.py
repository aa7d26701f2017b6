"""What a promise about precision costs, and whether it is kept: `thresholds` on libraries whose truth is known.

Made-up libraries of 1,000 to 10,000 photographs: 0.3 to 30 % show the word, the model tells them more or less well, and
its calibration is distorted by a random line. Beside it, what one would do else: the same number of answers about
photographs drawn evenly, and the lowest threshold from which on their limit (Clopper and Pearson) holds the precision;
a threshold of 0.95 on the scores as they are, and on scores that are calibrated exactly.

Shapes: N photographs.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from aaam_pipeline.curation.label_thresholds import LabelSample, LabelThreshold
from benchmarks.table import Report

MINUTES = (0.5, 3.0)
PRECISION, EVENLY = 0.95, 300
Asked = tuple[LabelThreshold, int]
BUDGETS = (40, 80, 120, 200, 300)


class MadeUp(NamedTuple):
    """A library: scores (N,), the same calibrated exactly, and whether each photograph shows the word."""

    score_N: NDArray[np.float32]
    calibrated_N: NDArray[np.float64]
    shows_N: NDArray[np.bool_]


def library(chance: np.random.Generator, photographs: int, least: float = 1, most: float = 6) -> MadeUp:
    """Make a library; `least`, `most`: the distance of the two kinds of photographs, in standard deviations."""
    prevalence, distance = 10 ** chance.uniform(-2.5, -0.5), chance.uniform(least, most)
    shows_N = chance.random(photographs) < prevalence
    evidence_N = np.where(shows_N, distance / 2, -distance / 2) + chance.normal(size=photographs)
    logit_N = distance * evidence_N + np.log(prevalence / (1 - prevalence))
    distorted_N = chance.uniform(0.5, 2) * logit_N + chance.uniform(-1.5, 1.5)
    return MadeUp((1 / (1 + np.exp(-distorted_N))).astype(np.float32), 1 / (1 + np.exp(-logit_N)), shows_N)


def run(report: Report, full: bool) -> None:
    """Add the tables."""
    libraries = [
        library(np.random.default_rng([0, number]), (1000, 3000, 10_000)[number % 3])
        for number in range(1000 if full else 150)
    ]
    _ways(report, libraries)
    _budgets(report, libraries[: len(libraries) // 3])


def _ways(report: Report, libraries: list[MadeUp]) -> None:
    add = report.table(
        f"a precision of {PRECISION:g}, {len(libraries):,} libraries of one word each",
        [
            *("", "answers, median", "has a threshold, %", "precision is less, % of libraries"),
            *("found of what can be, %", "precision in its interval, %"),
            *("photographs in their interval, %", "recall in its interval, %"),
        ],
    )
    ours = [_asked(each, number) for number, each in enumerate(libraries)]
    covered = [_covered(each, found) for each, found in zip(libraries, ours, strict=True)]
    cells = [f"{100 * np.mean(column):.1f}" for column in zip(*covered, strict=True)]
    add(["`thresholds`", *_measured(libraries, [(each[0].threshold, each[1]) for each in ours]), *cells])
    others: dict[str, Callable[[MadeUp, int], tuple[float | None, int]]] = {
        f"{EVENLY} answers drawn evenly": _evenly,
        "score >= 0.95": lambda each, number: (PRECISION, 0),
        "exactly calibrated score >= 0.95": _calibrated,
    }
    for name, way in others.items():
        found = [way(each, number) for number, each in enumerate(libraries)]
        add([name, *_measured(libraries, found), "", "", ""])


def _budgets(report: Report, libraries: list[MadeUp]) -> None:
    add = report.table(
        "what so many answers about a word lead to",
        [
            *("answers at most", "has a threshold, %", "found of what can be, %", "all is said, %"),
            "width of the interval of photographs, times their number",
        ],
    )
    for budget in BUDGETS:
        found = [_asked(each, number, budget) for number, each in enumerate(libraries)]
        _, held, _, recall = _measured(libraries, [(each[0].threshold, each[1]) for each in found])
        widths = [
            (result.photographs.high - result.photographs.low) / max(1, each.shows_N.sum())
            for (result, _), each in zip(found, libraries, strict=True)
            if result.photographs
        ]
        said = 100 * len(widths) / len(libraries)
        add([str(budget), held, recall, f"{said:.0f}", f"{np.median(widths):.2f}" if widths else ""])


def _asked(each: MadeUp, number: int, budget: int = 10_000) -> Asked:
    """Return what answers say, and how many there were."""
    random_N = np.random.default_rng([1, number]).integers(0, 2**63, len(each.score_N), dtype=np.uint64)
    sample = LabelSample(each.score_N, random_N, np.full(len(each.score_N), -1, np.int8))
    given: dict[int, bool] = {}
    while len(given) < budget and (photograph := next(sample.questions(PRECISION, given.get), None)) is not None:
        given[photograph] = bool(each.shows_N[photograph])
    return sample.result(PRECISION, given.get), len(given)


def _covered(each: MadeUp, found: Asked) -> tuple[bool, bool, bool]:
    """Return whether precision, photographs and recall lie in their intervals; where nothing is said they do."""
    result, _ = found
    shows = int(each.shows_N.sum())
    assert result.photographs
    counted = result.photographs.low <= shows <= result.photographs.high
    if result.threshold is None:
        return True, counted, True
    assert result.precision
    assert result.recall
    above_N = each.score_N >= result.threshold
    right = int(each.shows_N[above_N].sum())
    precise = result.precision.low - 1e-9 <= right / above_N.sum() <= result.precision.high + 1e-9
    return precise, counted, result.recall.low <= right / max(1, shows) <= result.recall.high


def _measured(libraries: list[MadeUp], found: list[tuple[float | None, int]]) -> list[str]:
    """Return the median of answers, how many have a threshold, broken promises, and the recall of what can be."""
    held = broken = 0
    recalls: list[float] = []
    for each, (threshold, _) in zip(libraries, found, strict=True):
        best = max(_recalls(each), default=0.0)
        above_N = np.zeros(len(each.score_N), bool) if threshold is None else each.score_N >= threshold
        held += bool(above_N.any())
        broken += bool(above_N.any()) and each.shows_N[above_N].mean() < PRECISION - 1e-9
        if best:
            # what is found beyond a precision that is not held is no merit
            recalls.append(min(1.0, each.shows_N[above_N].sum() / each.shows_N.sum() / best))
    shares = [f"{100 * held / len(found):.0f}", f"{100 * broken / len(found):.1f}", f"{100 * np.mean(recalls):.0f}"]
    return [f"{np.median([answers for _, answers in found]):.0f}", *shares]


def _recalls(each: MadeUp) -> Iterator[float]:
    """Yield the largest recall that holds the precision, by who knows the truth."""
    order_N = np.argsort(-each.score_N, kind="stable")
    right_N = np.cumsum(each.shows_N[order_N])
    holds = np.flatnonzero(right_N / np.arange(1, len(right_N) + 1) >= PRECISION)
    if len(holds) and each.shows_N.any():
        yield float(right_N[holds[-1]] / each.shows_N.sum())


def _evenly(each: MadeUp, number: int) -> tuple[float | None, int]:
    drawn = np.random.default_rng([2, number]).choice(len(each.score_N), EVENLY, replace=False)
    order = drawn[np.argsort(-each.score_N[drawn], kind="stable")]
    right = np.cumsum(each.shows_N[order])
    answers = np.arange(1, EVENLY + 1)
    low = beta.ppf(0.025, right, answers - right + 1)
    holds = np.flatnonzero(np.nan_to_num(low) >= PRECISION)
    return (float(each.score_N[order[holds[-1]]]) if len(holds) else None), EVENLY


def _calibrated(each: MadeUp, number: int) -> tuple[float | None, int]:
    likely_N = each.calibrated_N >= PRECISION
    return (float(each.score_N[likely_N].min()) if likely_N.any() else None), 0
