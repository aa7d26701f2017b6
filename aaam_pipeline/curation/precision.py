"""How many of some labels are right: estimated from decisions, stratum by stratum of the score, else from the scores.

Shapes: L labels, H strata (score intervals of equal width), P pairs of photograph and label.

Decisions are no random sample: what is uncertain is decided first. Within a stratum they are taken for one. What is
decided counts as decided. Of the rest, scores say how many are right, but they were calibrated elsewhere: in this
library their log-odds may all be off by some number, of mean 0 and deviation `SHIFT`, which decisions tell. Of a
stratum, the share that is right then has a beta distribution: the mean score, as if that had been seen `PRIOR` times,
and what was decided there. The interval is Wilson's, for the number of decisions that would give this variance.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.calibration import logit, sigmoid

STRATA = 10
PRIOR = 2.0
SHIFT = 1.0
Z = 1.959964
"""Of 95 %."""
Floats = NDArray[np.float64]


class ExpectedPrecision(NamedTuple):
    """Which share is right, and the 95 % interval of it; `by`: what it was estimated from; `decided`: how many are."""

    share: float
    low: float
    high: float
    by: Literal["decisions", "scores"]
    decided: int


class Strata(NamedTuple):
    """Pairs of photograph and label by the label and the score: how many, their scores, decided yes and no; (L, H)."""

    pairs_LH: Floats
    score_LH: Floats
    yes_LH: Floats
    no_LH: Floats

    @classmethod
    def none(cls, labels: int) -> "Strata":
        """Return strata of so many labels without any pair."""
        return cls(*np.zeros((4, labels, STRATA)))

    def add(self, label_P: NDArray[np.intp], score_P: Floats, given_P: NDArray[np.int8]) -> None:
        """Count pairs (P,): labels, calibrated scores, and what was decided (1 yes, 0 no, -1 nothing)."""
        place_P = label_P * STRATA + np.minimum((score_P * STRATA).astype(np.intp), STRATA - 1)
        for sums_LH, weight_P in zip(self, (None, score_P, given_P == 1, given_P == 0), strict=True):
            sums_LH += np.bincount(place_P, weight_P, sums_LH.size).reshape(sums_LH.shape)

    def precision(self, label: int) -> ExpectedPrecision | None:
        """Return which share of the pairs of a label is right; None where there are none."""
        pairs_H, score_H, yes_H, no_H = (each[label] for each in self)
        total, decided_H = float(pairs_H.sum()), yes_H + no_H
        if not total:
            return None
        mean_H, shift_variance = _shifted(score_H / np.maximum(pairs_H, 1), yes_H, decided_H)
        seen_H = PRIOR + decided_H
        chance_H = (PRIOR * mean_H + yes_H) / seen_H
        rest_H = pairs_H - decided_H
        share = float((yes_H + rest_H * chance_H).sum() / total)
        # of a beta-binomial distribution
        variance_H = rest_H * chance_H * (1 - chance_H) * (seen_H + rest_H) / (seen_H + 1)
        # all strata are off together, as far as their own decisions do not say otherwise
        off_H = rest_H * PRIOR / seen_H * mean_H * (1 - mean_H)
        # both errors come of the same decisions, so they do not make up for each other
        spread = math.sqrt(float(variance_H.sum())) + float(off_H.sum()) * math.sqrt(shift_variance)
        low, high = _wilson(share, (spread / total) ** 2)
        decided = int(decided_H.sum())
        return ExpectedPrecision(share, low, high, "decisions" if decided else "scores", decided)


def _shifted(mean_H: Floats, yes_H: Floats, decided_H: Floats) -> tuple[Floats, float]:
    """Return the mean scores with all log-odds moved as decisions tell, and the variance of that move."""
    logit_H, move, curve = logit(mean_H), 0.0, 1 / SHIFT**2
    for _ in range(20):
        chance_H = sigmoid(logit_H + move)
        curve = float((decided_H * chance_H * (1 - chance_H)).sum()) + 1 / SHIFT**2
        move += float(np.clip(((yes_H - decided_H * chance_H).sum() - move / SHIFT**2) / curve, -1, 1))
    return sigmoid(logit_H + move), 1 / curve


def _wilson(share: float, variance: float) -> tuple[float, float]:
    """Return Wilson's interval of a share, for as many decisions as would give it this variance."""
    if variance <= 0:
        return share, share
    # a share of 0 or 1 has a variance, too: that of half a decision more
    spread = max(share * (1 - share), variance)
    count = spread / variance
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + (Z / (2 * count)) ** 2)
    return max(0.0, centre - half), min(1.0, centre + half)
