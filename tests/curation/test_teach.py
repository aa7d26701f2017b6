from contextlib import suppress

import numpy as np
import pytest
from numpy.typing import NDArray

from aaam_pipeline.curation import teach
from aaam_pipeline.curation.teach import Background, UnlearnableError
from aaam_pipeline.formats.calibration import sigmoid

DIM = 32


def photographs(seed: int, count: int, towards: float = 0.0, axis: int = 3) -> NDArray[np.float32]:
    """Unit embeddings that vary most along some axes; `towards`: how far they lie from the others along one."""
    random = np.random.default_rng(seed)
    wide_ND = random.normal(size=(count, DIM)) * np.linspace(2, 0.3, DIM)
    wide_ND[:, axis] += towards
    wide_ND[:, 0] += 4
    return (wide_ND / np.linalg.norm(wide_ND, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def background() -> Background:
    return Background(np.concatenate([photographs(1, 1900), photographs(2, 100, 8)]))


def average_precision(score_N: NDArray[np.floating], shown_N: NDArray[np.bool_]) -> float:
    hit_N = shown_N[np.argsort(-score_N)]
    return float((hit_N.cumsum() / np.arange(1, len(hit_N) + 1))[hit_N].mean())


def test_a_word_is_learned_and_calibrated(background: Background) -> None:
    fit = teach.fit(background, photographs(3, 12, 8), photographs(4, 0))
    others_ND = np.concatenate([photographs(5, 1900), photographs(6, 100, 8)])
    shown_N = np.arange(2000) >= 1900
    chance_N = sigmoid(others_ND @ fit.weight_D + fit.bias)
    assert average_precision(chance_N, shown_N) > 0.9
    # as many as the estimate says, within a factor of two, and on the right side of the threshold
    assert 50 < chance_N.sum() < 200
    found_N = chance_N >= fit.threshold
    assert shown_N[found_N].mean() > 0.8
    assert found_N[shown_N].mean() > 0.5
    assert 0 < fit.judgement.low <= fit.judgement.ap <= fit.judgement.high <= 1
    assert fit.weight_D.dtype == np.float32


def test_few_examples_give_nearly_the_difference_of_means_and_many_the_discriminant(background: Background) -> None:
    def direction(count: int) -> NDArray[np.floating]:
        return teach._direction(background, background.inside(photographs(7, count, 8)), np.zeros((0, DIM), np.float32))

    def cosine(one_D: NDArray[np.floating], other_D: NDArray[np.floating]) -> float:
        return float(one_D @ other_D / np.linalg.norm(one_D) / np.linalg.norm(other_D))

    for count in (3, 3000):
        mean_D = background.inside(photographs(7, count, 8)).mean(0)
        full_D = mean_D / background.variance_D
        to_mean, to_full = cosine(direction(count), mean_D), cosine(direction(count), full_D)
        assert (to_mean > to_full) == (count == 3)
        assert max(to_mean, to_full) > 0.99


def test_photographs_that_do_not_show_it_push_what_is_like_them_down(background: Background) -> None:
    """The word lies along axis 3; what is like it, and is not it, also along axis 5."""

    def like(seed: int, count: int) -> NDArray[np.float32]:
        both_ND = photographs(seed, count, 8)
        both_ND[:, 5] += 0.6
        return (both_ND / np.linalg.norm(both_ND, axis=1, keepdims=True)).astype(np.float32)

    yes_ND, others_ND = photographs(8, 10, 8), np.concatenate([photographs(9, 100, 8), like(10, 100)])
    shown_N = np.arange(200) < 100
    without = teach.fit(background, yes_ND, photographs(0, 0))
    with_them = teach.fit(background, yes_ND, like(11, 10))
    better, before = (average_precision(others_ND @ fit.weight_D, shown_N) for fit in (with_them, without))
    assert better > before + 0.02


def test_many_examples_are_solved_by_the_other_system_with_the_same_result(background: Background) -> None:
    yes_ND, no_ND = background.inside(photographs(3, 30, 8)), background.inside(photographs(4, 30))
    few = teach._direction(background, yes_ND[:14], no_ND[:14])
    prior_D = 1 / (background.variance_D + teach.RIDGE / 14)
    examples_ED = np.concatenate([yes_ND[:14], no_ND[:14]])
    noise = teach.NOISE * (examples_ED**2 @ prior_D).mean()
    primal = np.linalg.solve(
        examples_ED.T @ examples_ED + noise * np.diag(1 / prior_D), examples_ED.T @ np.repeat([1.0, 0.0], 14)
    )
    np.testing.assert_allclose(few, primal, rtol=1e-3, atol=1e-6)
    many = teach._direction(background, yes_ND, no_ND)
    prior_D = 1 / (background.variance_D + teach.RIDGE / 30)
    examples_ED = np.concatenate([yes_ND, no_ND])
    kernel_EE = (examples_ED * prior_D) @ examples_ED.T
    noise = teach.NOISE * kernel_EE.trace() / 60
    dual = prior_D * (np.linalg.solve(kernel_EE + noise * np.eye(60), np.repeat([1.0, 0.0], 30)) @ examples_ED)
    np.testing.assert_allclose(many, dual, rtol=1e-3, atol=1e-6)


def test_random_photographs_are_refused_nearly_always() -> None:
    background = Background(photographs(1, 1000))
    learned = 0
    for seed in range(100):
        with suppress(UnlearnableError):
            teach.fit(background, photographs(100 + seed, 4 + seed % 9), photographs(0, 0))
            learned += 1
    assert learned <= 5


def test_too_few_examples_are_said(background: Background) -> None:
    for count in (0, 1, 2):
        with pytest.raises(UnlearnableError, match=f"from {count} photograph.* it takes 3.*similar"):
            teach.fit(background, photographs(3, count, 8), photographs(0, 0))
    assert teach.fit(background, photographs(3, 3, 12), photographs(0, 0)).judgement.z >= teach.LEAST_Z


def test_examples_of_the_sample_do_not_count_as_unlabelled(background: Background) -> None:
    sample_UD = np.concatenate([photographs(1, 1900), photographs(2, 100, 8)])
    keep_U = np.arange(2000) < 1900
    alone = teach.fit(background, photographs(3, 12, 8), photographs(0, 0), keep_U)
    among = teach.fit(background, photographs(3, 12, 8), photographs(0, 0))
    assert alone.judgement.share < among.judgement.share
    assert len(sample_UD) == len(background.sample_UD)


def test_equal_photographs_and_equal_examples_end_in_a_word_or_a_refusal() -> None:
    same_ND = np.repeat(photographs(1, 1), 200, axis=0)
    with pytest.raises(UnlearnableError, match="all alike"):
        Background(same_ND)
    fit = teach.fit(Background(photographs(1, 500)), np.repeat(photographs(3, 1, 9), 5, axis=0), photographs(0, 0))
    assert np.isfinite(fit.weight_D).all()
    assert np.isfinite(fit.bias)


def test_calibration_gives_the_share_and_separates_no_further_than_its_prior() -> None:
    random = np.random.default_rng(0)
    score_U = np.concatenate([random.normal(size=950), random.normal(3, 1, 50)])
    slope, offset = teach.calibrate(random.normal(3, 1, 40), score_U, 0.05)
    assert sigmoid(slope * score_U + offset).mean() == pytest.approx(0.05, rel=0.01)
    assert all(map(np.isfinite, teach.calibrate(np.full(5, 50.0), random.normal(size=1000), 0.01)))


def test_the_threshold_is_half_of_the_best_expected_f1() -> None:
    assert teach.best_threshold(np.array([1.0, 1.0, 0.0, 0.0])) == 0.5
    assert teach.best_threshold(np.array([0.3, 0.2, 0.1, 0.0])) < 0.3
