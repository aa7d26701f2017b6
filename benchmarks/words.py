"""How well words are found, by their average precision: where a word should count as known badly.

    python -m benchmarks.words scores/corel5k/hard.parquet [scores/everyday/hard.parquet ...]

The images of each file are divided in two halves, five times. The average precision (AP) of a word on one half is what
a bundle says of it; on the other half it is seen what that is worth. Shapes: N images, L labels.
"""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats import scores
from aaam_pipeline.formats.words import LEAST_AP
from benchmarks.table import Report

BANDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0)
SUPPORTS = (1, 3, 5, 10, 20, 10**9)
HALVES, FIRST = 5, 5

Values = NDArray[np.floating]


def average_precisions(scores_NL: Values, targets_NL: NDArray[np.integer]) -> tuple[Values, Values, NDArray[np.intp]]:
    """Return a word's AP and the share of its first hits that show it, over known images, and how many show it; (L,).

    A word of which no image, or only `FIRST` known ones, are there is nan.
    """
    found = np.full((2, targets_NL.shape[1]), np.nan)
    for label, (score_N, target_N) in enumerate(zip(scores_NL.T, targets_NL.T, strict=True)):
        order = np.argsort(-score_N[target_N >= 0], kind="stable")
        hit_N = target_N[target_N >= 0][order] == 1
        if hit_N.any() and len(hit_N) > FIRST:
            precision_N = hit_N.cumsum() / np.arange(1, len(hit_N) + 1)
            found[:, label] = precision_N[hit_N].mean(), hit_N[:FIRST].mean()
    return found[0], found[1], (targets_NL == 1).sum(0)


def main(files: list[Path]) -> None:
    """Print both tables of each file."""
    report = Report()
    for file in files:
        split = scores.read_scores(file)
        random = np.random.default_rng(0)
        measured = []
        for _ in range(HALVES):
            one_N = random.permutation(len(split.targets_NL)) % 2 == 0
            said, seen = (
                average_precisions(split.scores_NL[rows_N], split.targets_NL[rows_N]) for rows_N in (one_N, ~one_N)
            )
            measured.append(np.stack([said[0], said[2], *seen]))
        said_W, support_W, seen_W, first_W, there_W = np.concatenate(measured, axis=1)
        # with fewer images that show it, the first hits cannot all be right
        judged_W = ~np.isnan(said_W + seen_W) & (there_W >= FIRST)
        add = report.table(f"{file}: of a word's first {FIRST} hits", ["AP said", "words", "right, %", "AP seen"])
        for least, most in pairwise(BANDS):
            band_W = judged_W & (said_W >= least) & (said_W < most + (most == 1))
            add([f"{least} to {most}", *_shown(band_W, 100 * first_W, "0"), _shown(band_W, seen_W, "2")[1]])
        below = f"seen below {LEAST_AP}, %"
        names = ["images that show it", f"said below {LEAST_AP}: words", below, "others: words", below]
        add = report.table(f"{file}: is a word marked by few images rightly marked?", names)
        for fewest, more in pairwise(SUPPORTS):
            few_W = ~np.isnan(said_W + seen_W) & (support_W >= fewest) & (support_W < more)
            low_W = 100.0 * (seen_W < LEAST_AP)
            marked, others = (_shown(few_W & each_W, low_W, "0") for each_W in (said_W < LEAST_AP, said_W >= LEAST_AP))
            add([f"{fewest} to {more - 1}" if more < 10**9 else f"{fewest} or more", *marked, *others])


def _shown(chosen_W: NDArray[np.bool_], value_W: Values, digits: str) -> list[str]:
    """Return how many words there are in the mean over the divisions, and their mean value."""
    if not chosen_W.any():
        return ["0", ""]
    return [f"{chosen_W.sum() / HALVES:.1f}", f"{value_W[chosen_W].mean():.{digits}f}"]


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
