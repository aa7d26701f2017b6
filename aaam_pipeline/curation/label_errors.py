"""Labels that people gave and that are probably wrong: confident learning, one label against the rest.

Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset labels", JAIR 70; cleanlab is
the authors' program. Shapes: N photographs of which a label was given or not.

A photograph counts for what it surely is: for the class (1: the label, 0: the rest) whose probability reaches the mean
of that class's probabilities over the photographs that were given it (the threshold t_j, eq. 2). Counted by the class
that was given and the class that it surely is, these make the confident joint (eq. 1), which is scaled so that its rows
add up to what was given (eq. 3). Of each kind of error as many are returned as it says, those with the greatest margin
between both probabilities (prune by noise rate).
"""

import numpy as np
from numpy.typing import NDArray

FEWEST = 5
"""Photographs of each class that thresholds need: the mean of fewer is that of an accident."""


def thresholds(score_N: NDArray[np.floating], given_N: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the mean probability of the rest over what was given the rest, and of the label over what was given it."""
    return float(1 - score_N[~given_N].mean()), float(score_N[given_N].mean())


def confident_joint(score_N: NDArray[np.floating], given_N: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how many photographs were given class i and are class j, (2, 2), estimated; i: the row.

    `score_N`: calibrated probabilities of the label by a model that did not learn from these labels; both classes must
    have been given.
    """
    rest, label = thresholds(score_N, given_N)
    is_rest_N, is_label_N = 1 - score_N >= rest - 1e-6, score_N >= label - 1e-6
    # sure of both: the likelier one
    both_N = is_rest_N & is_label_N
    is_label_N = is_label_N & (~both_N | (score_N > 0.5))
    is_rest_N = is_rest_N & ~is_label_N
    counts_22 = np.array(
        [[np.count_nonzero((given_N == bool(i)) & is_N) for is_N in (is_rest_N, is_label_N)] for i in (0, 1)],
        np.float64,
    )
    # at least one photograph was given what it is
    counts_22[np.arange(2), np.arange(2)] = np.maximum(counts_22.diagonal(), 1)
    given_2 = np.array([np.count_nonzero(~given_N), np.count_nonzero(given_N)])
    joint_22: NDArray[np.float64] = counts_22 / counts_22.sum(1, keepdims=True) * given_2[:, None]
    return joint_22


def label_errors(score_N: NDArray[np.floating], given_N: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return photographs whose given class is probably wrong, most surely wrong first.

    None where either class was given to fewer than `FEWEST`: nothing can be said. What the model itself would call as
    it was given is never among them.
    """
    if min(np.count_nonzero(given_N), np.count_nonzero(~given_N)) < FEWEST:
        return np.zeros(0, np.intp)
    joint_22 = confident_joint(score_N, given_N)
    # the margin p_j - p_i of what was given i, for the other class j
    margin_N = np.where(given_N, 1 - 2 * score_N, 2 * score_N - 1)
    found = []
    for given, count in ((True, joint_22[1, 0]), (False, joint_22[0, 1])):
        rows = np.flatnonzero(given_N == given)
        worst = rows[np.argsort(-margin_N[rows], kind="stable")][: round(float(count))]
        found.append(worst[margin_N[worst] > 0])
    errors = np.concatenate(found)
    ordered: NDArray[np.intp] = errors[np.argsort(-margin_N[errors], kind="stable")]
    return ordered
