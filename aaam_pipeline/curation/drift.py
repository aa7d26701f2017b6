"""Whether the scores of photographs have changed: the population stability index, and what of it is chance.

Shapes: L labels, H intervals of the score, G groups of intervals.

PSI = sum over groups of (p - q) ln(p / q), for the shares p before and q now (Siddiqi 2006, "Credit risk scorecards",
who calls 0.25 a major shift). Where nothing changed, PSI is about (1 / n + 1 / m) times a chi-squared variable of G - 1
degrees of freedom (Yurdakul and Naranjo 2020), for n and m photographs: what does not exceed that is no drift.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

MAJOR = 0.25
FEWEST = 100
"""Photographs on each side: of fewer nothing is said."""
GROUPS = 10
FALSE_ALARM = 0.001
"""Chance that any label of a library that did not change is said to have drifted."""
Counts = NDArray[np.int64]


def grouped(before_H: Counts, now_H: Counts) -> tuple[Counts, Counts]:
    """Return counts of groups (G,) of neighbouring intervals, each with about a tenth of the photographs before."""
    ends = np.cumsum(before_H)
    group_H = np.minimum(((ends - before_H / 2) / max(int(ends[-1]), 1) * GROUPS).astype(int), GROUPS - 1)
    _, group_H = np.unique(group_H, return_inverse=True)
    groups = int(group_H[-1]) + 1
    one, other = (np.bincount(group_H, each, groups).astype(np.int64) for each in (before_H, now_H))
    return one, other


def stability(before_G: Counts, now_G: Counts) -> float:
    """Return the population stability index; an empty group counts as half a photograph."""
    one, other = (np.maximum(each, 0.5) / np.maximum(each, 0.5).sum() for each in (before_G, now_G))
    return float(((other - one) * np.log(other / one)).sum())


def by_chance(before: int, now: int, groups: int, comparisons: int) -> float:
    """Return the index that chance alone exceeds in one of `FALSE_ALARM` families of so many comparisons."""
    if groups < 2:
        return math.inf
    free = groups - 1
    z = NormalDist().inv_cdf(1 - FALSE_ALARM / max(comparisons, 1))
    # the quantile of chi-squared by Wilson and Hilferty
    quantile = free * (1 - 2 / (9 * free) + z * math.sqrt(2 / (9 * free))) ** 3
    return quantile * (1 / before + 1 / now)


def label_drift(before_LH: Counts, now_LH: Counts) -> NDArray[np.float64]:
    """Return the stability index of each label (L,); 0 where it is no more than a major shift and chance."""
    drift_L = np.zeros(len(before_LH))
    for label, (before_H, now_H) in enumerate(zip(before_LH, now_LH, strict=True)):
        before, now = int(before_H.sum()), int(now_H.sum())
        if min(before, now) < FEWEST:
            continue
        groups = grouped(before_H, now_H)
        found = stability(*groups)
        if found > max(MAJOR, by_chance(before, now, len(groups[0]), len(before_LH))):
            drift_L[label] = found
    return drift_L


def surprise(before: int, of_before: int, now: int, of_now: int) -> float:
    """Return by how many deviations two shares differ, as if both were samples of one (0 where one is of nothing)."""
    if not of_before or not of_now:
        return 0.0
    pooled = (before + now) / (of_before + of_now)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / of_before + 1 / of_now))
    return (now / of_now - before / of_before) / spread if spread else 0.0
