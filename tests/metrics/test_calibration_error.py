import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaam_pipeline.metrics import calibration_error, label_calibration_error, reliability

pairs = st.lists(
    st.tuples(st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 1 / 15, 0.2, 0.6, 1.0])), st.integers(0, 1)),
    min_size=1,
    max_size=40,
)


def slow(scores: list[float], targets: list[int], bins: int) -> float:
    """Return the expected calibration error: every bin is filled by going through all the scores."""
    total = 0.0
    for number in range(bins):
        inside = [
            (score, target)
            for score, target in zip(scores, targets, strict=True)
            if number <= score * bins and (score * bins < number + 1 or number == bins - 1)
        ]
        if inside:
            mean = sum(score for score, _ in inside) / len(inside)
            frequency = sum(target for _, target in inside) / len(inside)
            total += len(inside) / len(scores) * abs(mean - frequency)
    return total


@settings(deadline=None)
@given(pairs, st.integers(1, 20))
def test_it_is_what_a_slow_and_obvious_program_finds(given: list[tuple[float, int]], bins: int) -> None:
    scores, targets = [score for score, _ in given], [target for _, target in given]
    found = calibration_error(np.array(scores)[:, None], np.array(targets)[:, None], bins)
    assert found == pytest.approx(slow(scores, targets, bins), abs=1e-9)


def test_the_definition_has_fifteen_bins() -> None:
    scores = [0.01, 0.09, 0.5, 0.51, 0.99]
    targets = [0, 1, 1, 0, 1]
    found = calibration_error(np.array(scores)[None], np.array(targets)[None])
    assert found == pytest.approx(slow(scores, targets, 15))
    assert found != pytest.approx(slow(scores, targets, 10))


def test_the_mean_over_labels_does_not_let_labels_make_up_for_each_other() -> None:
    scores = np.full((4, 2), 0.5)
    targets = np.array([[1, 0]] * 4)
    assert calibration_error(scores, targets) == 0
    assert label_calibration_error(scores, targets) == 0.5


def test_scores_drawn_with_their_own_frequency_are_reliable() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((20000, 4))
    assert calibration_error(scores, rng.random(scores.shape) < scores) < 0.01
    assert calibration_error(scores, rng.random(scores.shape) < scores**2) > 0.1


def test_the_table_has_means_and_frequencies_of_bins() -> None:
    table = reliability(np.array([[0.1, 0.3], [0.9, 1.0]]), np.array([[0, 1], [1, 1]]), bins=2)
    assert table.pairs_B.tolist() == [2, 2]
    np.testing.assert_allclose(table.score_B, [0.2, 0.95])
    np.testing.assert_allclose(table.frequency_B, [0.5, 1.0])


def test_an_empty_bin_has_no_mean_and_no_weight() -> None:
    table = reliability(np.array([[0.9]]), np.array([[1]]), bins=2)
    assert table.pairs_B.tolist() == [0, 1]
    assert np.isnan(table.score_B[0])
    assert calibration_error(np.array([[0.9]]), np.array([[1]]), 2) == pytest.approx(0.1)
    assert calibration_error(np.zeros((0, 3)), np.zeros((0, 3), int)) == 0


@pytest.mark.parametrize("scores", [[[1.1]], [[-0.1]], [[float("nan")]], [[0.5, 0.5]]])
def test_what_is_no_probability_of_these_labels_is_refused(scores: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="scores"):
        reliability(np.array(scores), np.array([[1]]))
