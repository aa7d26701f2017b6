import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.curation.expected_gain import gains


def test_it_is_what_the_formulas_say() -> None:
    score_N = np.array([0.2, 0.9, 0.5])
    found = gains(score_N)
    # ranked: 0.9, 0.5, 0.2; expected precision at the ranks: 0.9, 0.7, 1.6 / 3
    last = 1.6 / 3
    no = [0.5 * 0.7 / 2 + 0.2 * last / 3, 0.2 * last / 3, 0.0]
    yes = [1 - 0.9, 1 - 0.7 + 0.9 * 0.1 / 2, 1 - last + 0.9 * 0.1 / 2 + 0.5 * 0.3 / 3]
    np.testing.assert_allclose(found.no_N[[1, 2, 0]], np.array(no) / 1.6)
    np.testing.assert_allclose(found.yes_N[[1, 2, 0]], np.array(yes) / 1.6)
    np.testing.assert_allclose(found.expected(score_N), score_N * found.yes_N + (1 - score_N) * found.no_N)


def average_precision(ranked_MN: NDArray[np.bool_]) -> NDArray[np.float64]:
    precision_MN = ranked_MN.cumsum(1) / np.arange(1, ranked_MN.shape[1] + 1)
    return np.asarray((precision_MN * ranked_MN).sum(1) / ranked_MN.sum(1))


def test_it_predicts_what_decisions_bring() -> None:
    chance = np.random.default_rng(0)
    score_N = np.sort(np.concatenate([chance.uniform(0.5, 1, 15), chance.uniform(0, 0.3, 45)]))[::-1]
    truth_MN = chance.random((3000, len(score_N))) < score_N
    before = average_precision(truth_MN)
    risen = []
    for row in range(len(score_N)):
        shown_M = truth_MN[:, row]
        others_MN = np.delete(truth_MN, row, 1)
        # a yes becomes the first, a no goes
        first = average_precision(np.column_stack([shown_M, others_MN]))
        gone = average_precision(others_MN)
        risen.append(np.where(shown_M, first, gone).mean() - before.mean())
    assert np.corrcoef(risen, gains(score_N).expected(score_N))[0, 1] > 0.9


def test_what_nobody_would_see_is_worth_little() -> None:
    # as uncertain at the end of a long list as at its beginning
    score_N = np.array([0.5] * 200)
    expected_N = gains(score_N).no_N
    assert expected_N[0] > 20 * expected_N[190]
    assert np.isfinite(gains(np.zeros(3)).expected(np.zeros(3))).all()
