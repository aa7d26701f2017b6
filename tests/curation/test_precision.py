"""Estimated precision: what was decided counts as decided, and the interval holds the truth as often as it says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from aaam_pipeline.curation.precision import ExpectedPrecision, Strata


def estimated(score_N: NDArray[np.float64], given_N: NDArray[np.int8]) -> ExpectedPrecision:
    strata = Strata.none(3)
    strata.add(np.full(len(score_N), 1), score_N, given_N)
    assert strata.precision(0) is None
    found = strata.precision(1)
    assert found is not None
    return found


def test_what_is_all_decided_is_known() -> None:
    found = estimated(np.array([0.2, 0.9, 0.9, 0.5]), np.array([1, 0, 1, 1], np.int8))
    assert found == ExpectedPrecision(0.75, 0.75, 0.75, "decisions", 4)


def test_without_decisions_it_is_the_mean_score_with_a_wide_interval() -> None:
    found = estimated(np.full(5000, 0.8), np.full(5000, -1, np.int8))
    assert found.share == pytest.approx(0.8)
    assert (found.by, found.decided) == ("scores", 0)
    assert found.low < 0.65 < 0.9 < found.high


def test_decisions_outweigh_scores_that_are_wrong_here() -> None:
    given_N = np.full(2000, -1, np.int8)
    given_N[:200] = np.arange(200) % 10 == 0
    found = estimated(np.full(2000, 0.9), given_N)
    assert found.share == pytest.approx(0.1, abs=0.03)
    assert found.low < 0.1 < found.high < 0.2


@pytest.mark.parametrize("decided", [0, 5, 30, 200])
@pytest.mark.parametrize("shift", [-0.7, 0.0, 0.7])
def test_the_interval_holds_the_truth(decided: int, shift: float) -> None:
    chance = np.random.default_rng(decided)
    held = []
    for _ in range(300):
        score_N = chance.beta(2, 1, 400)
        odds_N = score_N / (1 - score_N) * np.exp(shift)
        truth_N = chance.random(400) < odds_N / (1 + odds_N)
        given_N = np.full(400, -1, np.int8)
        chosen = chance.choice(400, decided, replace=False)
        given_N[chosen] = truth_N[chosen]
        found = estimated(score_N, given_N)
        held.append(found.low <= truth_N.mean() <= found.high)
    # of 300 with a chance of 0.95, all but one in a thousand times
    assert np.mean(held) > 0.905


@pytest.mark.parametrize(("decided", "width"), [(0, 0.70), (30, 0.29), (100, 0.14)])
def test_a_few_decisions_make_the_interval_much_narrower(decided: int, width: float) -> None:
    chance = np.random.default_rng(decided)
    widths = []
    for _ in range(100):
        score_N = chance.beta(2, 1, 400)
        given_N = np.full(400, -1, np.int8)
        chosen = chance.choice(400, decided, replace=False)
        given_N[chosen] = chance.random(decided) < score_N[chosen]
        found = estimated(score_N, given_N)
        widths.append(found.high - found.low)
    assert np.mean(widths) == pytest.approx(width, abs=0.02)
