"""The stability index, against a definition in loops; and how often chance alone makes it an alarm: almost never."""

import math

import numpy as np
import pytest

from aaam_pipeline.curation import drift
from aaam_pipeline.curation.snapshots import INTERVALS, count_scores


def test_the_index_is_the_sum_over_groups() -> None:
    before, now = [50, 30, 20], [20, 30, 50]
    expected = sum((n - b) / 100 * math.log(n / b) for b, n in zip(before, now, strict=True))
    assert drift.stability(np.array(before), np.array(now)) == pytest.approx(expected)
    assert drift.stability(np.array(before), np.array(before)) == 0


def test_groups_hold_about_a_tenth_each_and_lose_nobody() -> None:
    chance = np.random.default_rng(0)
    before_H, now_H = (count_scores(chance.beta(0.4, 4, size)) for size in (3000, 500))
    before_G, now_G = drift.grouped(before_H, now_H)
    assert (before_G.sum(), now_G.sum()) == (3000, 500)
    assert len(before_G) == len(now_G) >= 6
    one = np.zeros(INTERVALS, np.int64)
    one[3] = 200
    assert drift.grouped(one, one)[0].max() == 200


@pytest.mark.parametrize(("before", "now"), [(100, 100), (300, 2000), (5000, 150)])
def test_chance_is_no_drift(before: int, now: int) -> None:
    chance = np.random.default_rng(before)
    alarms = 0
    for _ in range(40):
        shape_L2 = chance.uniform(0.2, 4, (20, 2))
        counts = [np.stack([count_scores(chance.beta(*shape, size)) for shape in shape_L2]) for size in (before, now)]
        alarms += np.count_nonzero(drift.label_drift(*counts))
    assert alarms == 0


def test_scores_that_moved_have_drifted_and_few_photographs_say_nothing() -> None:
    chance = np.random.default_rng(1)
    before_LH = np.stack([count_scores(chance.beta(1, 5, 2000)) for _ in range(3)])
    now_LH = np.stack([count_scores(chance.beta(*shape, 1000)) for shape in ((1, 5), (5, 5), (1, 20))])
    drift_L = drift.label_drift(before_LH, now_LH)
    assert (drift_L > 0).tolist() == [False, True, True]
    assert not drift.label_drift(before_LH, now_LH // 20).any()


def test_surprise_is_the_deviation_of_two_shares() -> None:
    assert drift.surprise(10, 100, 10, 100) == 0
    assert drift.surprise(10, 100, 40, 100) == pytest.approx(0.3 / math.sqrt(0.25 * 0.75 * 0.02))
    assert drift.surprise(0, 0, 1, 5) == drift.surprise(0, 50, 0, 5) == 0
