"""The promise about precision holds on made-up libraries, the choice of the threshold included."""

import numpy as np
import pytest
from scipy.stats import beta

from aaam_pipeline.curation.counts import Stratum, share, total
from aaam_pipeline.curation.label_thresholds import LabelSample, LabelThreshold, upper_limit
from aaam_pipeline.curation.precision_test import judge, looks
from benchmarks.promises import library

PRECISION = 0.95


def asked(sample: LabelSample, shows_N: np.ndarray, most: int = 10_000) -> tuple[LabelThreshold, dict[int, bool]]:
    """Answer truly until nothing is asked any more."""
    given: dict[int, bool] = {}
    while (photograph := next(sample.questions(PRECISION, given.get), None)) is not None and len(given) < most:
        assert photograph not in given
        given[photograph] = bool(shows_N[photograph])
    return sample.result(PRECISION, given.get), given


def sample_of(score_N: np.ndarray, chance: np.random.Generator, known_N: np.ndarray | None = None) -> LabelSample:
    random_N = chance.integers(0, 2**63, len(score_N), dtype=np.uint64)
    return LabelSample(score_N, random_N, np.full(len(score_N), -1, np.int8) if known_N is None else known_N)


def test_intervals_cover_what_is_true_in_libraries_of_all_kinds() -> None:
    """`python -m benchmarks promises` has 1,000 libraries; nominal are 95 of 100."""
    chance = np.random.default_rng(0)
    precise = counted = found = held = 0
    libraries = 150
    for number in range(libraries):
        score_N, _, shows_N = library(chance, (1000, 3000)[number % 2])
        result, given = asked(sample_of(score_N, chance), shows_N)
        assert result.finished
        assert result.answers == len(given)
        assert result.photographs is not None
        counted += result.photographs.low <= shows_N.sum() <= result.photographs.high
        if result.threshold is None:
            precise, found = precise + 1, found + 1
            continue
        held += 1
        above_N = score_N >= result.threshold
        assert result.precision is not None
        assert result.recall is not None
        precise += result.precision.low - 1e-9 <= shows_N[above_N].mean() <= result.precision.high + 1e-9
        found += result.recall.low <= shows_N[above_N].sum() / max(1, shows_N.sum()) <= result.recall.high
    assert min(precise, counted, found) >= 0.93 * libraries
    assert held > 0.6 * libraries


@pytest.mark.parametrize(("size", "alpha"), [(40, 0.03), (400, 0.03), (5000, 0.01)])
def test_a_set_that_just_misses_seldom_passes(size: int, alpha: float) -> None:
    chance = np.random.default_rng(1)
    failing = int(0.05 * size) + 1
    passed = 0
    for _ in range(4000):
        wrong = set(chance.choice(size, failing, replace=False).tolist())
        passed += bool(judge(range(size), lambda photograph: photograph not in wrong, size, failing, alpha).passed)  # noqa: B023
    assert passed <= 4000 * alpha + 3 * np.sqrt(4000 * alpha)


def test_a_set_passes_with_few_answers_if_all_are_right() -> None:
    assert looks(10_000, 501, 0.05)[0] == 76
    # by 59 answers for one look: the others cost the rest
    assert judge(range(10_000), lambda photograph: True, 10_000, 501, 0.05).answers == 76
    assert judge(range(10), lambda photograph: True, 10, 1, 0.03) == (True, 10, 0, None)
    assert judge(range(10), lambda photograph: photograph != 9, 10, 1, 0.03).passed is False
    assert judge(range(10), lambda photograph: None, 10, 0, 0.03).passed is False
    assert judge(range(10), lambda photograph: None, 10, 11, 0.03).passed is True


def test_what_is_known_already_is_not_asked_and_says_nothing_of_others() -> None:
    """People decide what strikes them: here only what is right, which a plain share would take for a precise word."""
    chance = np.random.default_rng(2)
    score_N, shows_N = np.full(2000, 0.99, np.float32), chance.random(2000) < 0.5
    known_N = np.full(2000, -1, np.int8)
    known_N[np.flatnonzero(shows_N)[:600]] = 1
    result, given = asked(sample_of(score_N, chance, known_N), shows_N)
    assert result.threshold is None
    assert not set(given) & set(np.flatnonzero(known_N >= 0))
    assert result.photographs is not None
    assert result.photographs.low <= shows_N.sum() <= result.photographs.high


def test_the_order_of_answers_does_not_matter_and_partial_ones_promise_nothing_false() -> None:
    chance = np.random.default_rng(3)
    score_N = np.linspace(1, 0, 3000).astype(np.float32) ** 0.05
    shows_N = chance.random(3000) < np.linspace(1.2, 0.2, 3000)
    sample = sample_of(score_N, chance)
    partial, given = asked(sample, shows_N, most=40)
    assert (partial.threshold, partial.decided) == (None, False)
    whole, _ = asked(sample, shows_N)
    while (photograph := next(sample.questions(PRECISION, given.get), None)) is not None:
        given[photograph] = bool(shows_N[photograph])
    assert sample.result(PRECISION, dict(reversed(given.items())).get) == whole


def test_a_batch_is_what_questions_ask() -> None:
    chance = np.random.default_rng(4)
    score_N, _, shows_N = library(chance, 3000, least=5)
    sample = sample_of(score_N, chance)
    given: dict[int, bool] = {}
    while batch := sample.batch(PRECISION, given.get):
        assert next(sample.questions(PRECISION, given.get)) in batch
        given |= {photograph: bool(shows_N[photograph]) for photograph in batch}
    assert sample.result(PRECISION, given.get).finished


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_small_libraries_are_judged_whole_or_withheld(count: int) -> None:
    chance = np.random.default_rng(5)
    score_N = np.linspace(0.99, 0.9, count).astype(np.float32)
    result, given = asked(sample_of(score_N, chance), np.ones(count, bool))
    assert result.threshold is not None
    assert result.precision is not None
    assert result.precision.low >= PRECISION
    assert len(given) <= count
    result, _ = asked(sample_of(score_N, chance), np.zeros(count, bool))
    assert result.threshold is None


def test_equal_scores_are_never_cut_apart() -> None:
    chance = np.random.default_rng(6)
    score_N = np.repeat(np.array([0.999, 0.9, 0.1], np.float32), [30, 300, 700])
    sample = sample_of(score_N, chance)
    first, retreat = sample.candidates(PRECISION)
    assert {*first, *retreat} <= {30, 330, 1030}


def test_counts_of_strata() -> None:
    assert total([Stratum(100, 100, 30, 5)]) == (35, 35, 35)
    one = total([Stratum(1_000_000, 100, 0)])
    assert one.low == 0
    # Clopper and Pearson: 1 - 0.025^(1/100)
    assert one.high == pytest.approx(36_217, rel=0.03)
    nothing = total([Stratum(50, 0, 0)])
    assert (nothing.low, nothing.high) == (0, 50)
    part = share([Stratum(100, 50, 50)], [Stratum(10_000, 30, 0)])
    assert part.low < 0.2
    assert part.high == 1


@pytest.mark.parametrize("right", [0, 1, 30, 5000])
@pytest.mark.parametrize("wrong", [1, 2, 6])
def test_the_upper_limit_is_a_quantile_of_the_beta_distribution(right: int, wrong: int) -> None:
    assert upper_limit(right + wrong, wrong, 0.0001) == pytest.approx(beta.ppf(1 - 0.0001, right + 1, wrong), abs=1e-9)
    assert upper_limit(right, 0, 0.0001) == 1
