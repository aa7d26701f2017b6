"""How many photographs show a word: intervals of sums over strata, and of shares of such sums.

The limits of a stratum are those of Clopper and Pearson as distributions, and sums of strata are drawn from these:
melded intervals (Fay, Proschan and Brittain 2015), which are exact for one stratum. Shapes: M draws.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS, SEED = 4000, 0


class Stratum(NamedTuple):
    """`size` photographs, of which `answers` were judged, drawn at random, and `yes` of these show the word.

    `known`: how many more show it, of which that is known without a sample.
    """

    size: int
    answers: int
    yes: int
    known: int = 0

    @property
    def estimate(self) -> float:
        """Return how many show the word, nearly."""
        return self.known + (self.size * self.yes / self.answers if self.answers else self.size / 2)


class Interval(NamedTuple):
    """An estimate, and limits that hold in 95 of 100 libraries."""

    estimate: float
    low: float
    high: float


def total(strata: Sequence[Stratum], confidence: float = 0.95) -> Interval:
    """Return how many photographs of all strata show the word."""
    low_M, high_M = (sum(draws) for draws in zip(*map(_limits, strata, range(len(strata))), strict=True))
    tail = (1 - confidence) / 2
    low, high = np.quantile(low_M, tail), np.quantile(high_M, 1 - tail)
    return Interval(sum(each.estimate for each in strata), float(low), float(high))


def share(inside: Sequence[Stratum], outside: Sequence[Stratum], confidence: float = 0.95) -> Interval:
    """Return which share of the photographs that show the word lies in the strata `inside`."""
    drawn = [_limits(each, number) for number, each in enumerate([*inside, *outside])]
    low_in, high_in = (sum(each[side] for each in drawn[: len(inside)]) for side in (0, 1))
    low_out, high_out = (sum((each[side] for each in drawn[len(inside) :]), np.zeros(DRAWS)) for side in (0, 1))
    tail = (1 - confidence) / 2
    low = np.quantile(low_in / np.maximum(low_in + high_out, 1e-9), tail)
    high = np.quantile(high_in / np.maximum(high_in + low_out, 1e-9), 1 - tail)
    found = sum(each.estimate for each in inside)
    all_found = found + sum(each.estimate for each in outside)
    return Interval(found / all_found if all_found else 0.0, float(low), min(1.0, float(high)))


def _limits(stratum: Stratum, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return draws (M,) of how many show the word, from the distributions of the lower and of the upper limit."""
    chance = np.random.default_rng([SEED, number])
    size, answers, yes, known = stratum
    left, no = size - answers, answers - yes
    sure = np.full(DRAWS, float(known + yes))
    if not left:
        return sure, sure
    low_M = chance.beta(yes, no + 1, DRAWS) if yes else np.zeros(DRAWS)
    high_M = chance.beta(yes + 1, no, DRAWS) if no else np.ones(DRAWS)
    return sure + chance.binomial(left, low_M), sure + chance.binomial(left, high_M)
