"""Confident learning against a reference written by hand, in loops, from the paper's equations."""

import numpy as np
import pytest

from aaam_pipeline.curation.label_errors import FEWEST, confident_joint, label_errors, thresholds


def joint_in_loops(scores: list[float], given: list[bool]) -> list[list[float]]:
    probabilities = [(1 - score, score) for score in scores]
    limits = []
    for label in (0, 1):
        own = [p[label] for p, each in zip(probabilities, given, strict=True) if each == label]
        limits.append(sum(own) / len(own))
    counts = [[0, 0], [0, 0]]
    for p, each in zip(probabilities, given, strict=True):
        sure = [label for label in (0, 1) if p[label] >= limits[label] - 1e-6]
        if sure:
            counts[each][max(sure, key=lambda label: p[label])] += 1
    for label in (0, 1):
        counts[label][label] = max(counts[label][label], 1)
    return [[counts[i][j] / sum(counts[i]) * sum(each == i for each in given) for j in (0, 1)] for i in (0, 1)]


def test_a_joint_counted_by_hand() -> None:
    score_N = np.array([0.9, 0.8, 0.7, 0.1, 0.05, 0.1, 0.2, 0.85])
    given_N = np.array([True, True, True, True, False, False, False, False])
    # the label: (0.9 + 0.8 + 0.7 + 0.1) / 4; the rest: (0.95 + 0.9 + 0.8 + 0.15) / 4
    assert thresholds(score_N, given_N) == pytest.approx((0.7, 0.625))
    # given the label: 3 surely are it, 1 surely is not; given the rest: 3 are the rest, 1 is the label
    np.testing.assert_allclose(confident_joint(score_N, given_N), [[3, 1], [1, 3]])


@pytest.mark.parametrize("seed", range(20))
def test_joints_of_noisy_labels(seed: int) -> None:
    chance = np.random.default_rng(seed)
    score_N = chance.beta(0.3, 0.6, 300)
    given_N = (chance.random(300) < score_N) ^ (chance.random(300) < 0.1)
    np.testing.assert_allclose(
        confident_joint(score_N, given_N), joint_in_loops(score_N.tolist(), given_N.tolist()), rtol=1e-12
    )


def test_wrong_labels_are_found_most_surely_wrong_first() -> None:
    chance = np.random.default_rng(3)
    truth_N = chance.random(2000) < 0.3
    score_N = np.clip(np.where(truth_N, chance.beta(8, 2, 2000), chance.beta(2, 8, 2000)), 0, 1)
    wrong_N = chance.random(2000) < 0.05
    found = label_errors(score_N, truth_N ^ wrong_N)
    # an error in twenty is the base rate
    assert wrong_N[found].mean() > 0.75
    assert wrong_N[found].sum() > 0.75 * wrong_N.sum()
    margins = np.abs(2 * score_N[found] - 1)
    assert (np.diff(margins) <= 0).all()


def test_nothing_is_said_of_labels_without_errors_or_of_a_few_photographs() -> None:
    given_N = np.array([True] * 20 + [False] * 20)
    assert len(label_errors(np.where(given_N, 0.95, 0.02), given_N)) == 0
    few = np.array([True] * (FEWEST - 1) + [False] * 20)
    assert len(label_errors(np.full(len(few), 0.5), few)) == 0
    assert len(label_errors(np.zeros(0), np.zeros(0, np.bool_))) == 0
