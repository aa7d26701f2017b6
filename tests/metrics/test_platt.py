import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aaam_pipeline.formats.calibration import Calibration, calibrate, logit, sigmoid
from aaam_pipeline.metrics import average_precision, calibration_error, evaluate, fit_calibration
from aaam_pipeline.metrics.logistic import LogisticFit

Array = NDArray[np.float64]


def drawn(images: int, slopes: list[float], biases: list[float], seed: int = 0) -> tuple[Array, NDArray[np.uint8]]:
    """Return scores, and truth drawn with the probabilities that these lines make of them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 2, (images, len(slopes)))
    truth = rng.random(logits.shape) < sigmoid(np.array(slopes) * logits + np.array(biases))
    return sigmoid(logits), truth.astype(np.uint8)


def loss(slope: float, bias: float, logits: Array, truth: Array, prior: float) -> float:
    """Return minus the log posterior of a line."""
    chances = 1 / (1 + np.exp(-(slope * logits + bias)))
    fit = -np.log(np.where(truth > 0, chances, 1 - chances)).sum()
    return float(fit + prior / 2 * (np.log(slope) ** 2 + bias**2))


def test_lines_are_found_again_where_there_are_many_images() -> None:
    slopes, biases = [0.4, 1.0, 2.0], [-1.0, 0.5, 1.0]
    found = fit_calibration(*drawn(40000, slopes, biases))
    np.testing.assert_allclose(found.slopes, slopes, rtol=0.06)
    np.testing.assert_allclose(found.biases, biases, atol=0.06)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.floats(0.2, 3), st.floats(-2, 2), st.sampled_from([0.3, 3.0, 30.0]))
def test_no_line_nearby_or_far_away_has_a_higher_posterior(seed: int, slope: float, bias: float, prior: float) -> None:
    scores, truth = drawn(30, [slope], [bias], seed)
    fitted = LogisticFit(logit(scores), truth.astype(float), prior, log_slope=True).solve()
    line = (float(fitted[0][0]), float(fitted[1][0]))
    best = loss(*line, logit(scores)[:, 0], truth[:, 0], prior)
    steps = (0.5, 0.9, 0.999, 1.001, 1.1, 2)
    for factor, shift in itertools.product(steps, (-1, -0.01, -1e-3, 0, 1e-3, 0.01, 1)):
        assert loss(line[0] * factor, line[1] + shift, logit(scores)[:, 0], truth[:, 0], prior) >= best - 1e-6 * max(
            1, best
        )


def test_a_label_without_a_positive_image_keeps_nearly_the_common_line() -> None:
    scores, truth = drawn(60, [0.5] * 12, [-1.0] * 12)
    scores[:, 0] = sigmoid(logit(scores[:, 0]) - 6)
    truth[:, 0] = 0
    found = fit_calibration(scores, truth)
    assert found.slopes[0] == pytest.approx(0.5, abs=0.3)
    assert -1.5 < found.biases[0] < -0.7
    alone = fit_calibration(scores, truth, prior=1e-3)
    assert alone.biases[0] < -3, "without the prior it would be driven down as far as that allows"


def test_the_average_precision_of_every_label_stays_the_same_to_the_last_digit() -> None:
    scores, truth = drawn(500, [0.3, 1, 3], [-2, 0, 2])
    narrow = scores.astype(np.float32)
    after = calibrate(narrow, fit_calibration(narrow, truth))
    assert np.array_equal(average_precision(narrow, truth), average_precision(after, truth))
    assert evaluate(narrow, truth, 1)["map"] == evaluate(after, truth, 1)["map"]


def test_what_was_fitted_on_one_split_makes_another_reliable() -> None:
    line = ([0.4, 0.7, 0.5, 0.6], [-1.0, 0.0, 1.0, -0.5])
    fitted = fit_calibration(*drawn(2000, *line, seed=1))
    scores, truth = drawn(4000, *line, seed=2)
    assert calibration_error(scores, truth) > 0.1
    assert calibration_error(calibrate(scores, fitted), truth) < 0.02


@pytest.mark.parametrize("truth", [0, 1])
def test_labels_on_no_image_or_on_all_give_finite_lines(truth: int) -> None:
    found = fit_calibration(np.full((20, 3), 0.5, np.float32), np.full((20, 3), truth))
    assert np.isfinite(found.slopes).all()
    assert (np.sign(found.biases) == (1 if truth else -1)).all()


def test_scores_that_separate_a_label_perfectly_and_certainly_give_a_finite_line() -> None:
    scores = np.array([[0.0], [0.0], [1.0], [1.0]], np.float32)
    found = fit_calibration(scores, (scores > 0.5).astype(int))
    assert 0 < found.slopes[0] < 10
    # a label that ranks all images the wrong way round keeps a rising line
    turned = fit_calibration(scores, (scores < 0.5).astype(int))
    assert 0 < turned.slopes[0] < 0.5


def test_equal_input_gives_equal_numbers() -> None:
    one, other = (fit_calibration(*drawn(100, [1, 2], [0, 1])) for _ in range(2))
    assert one == other
    assert isinstance(one, Calibration)


@pytest.mark.parametrize("scores", [np.zeros((0, 2)), np.array([[1.5, 0]]), np.array([[np.nan, 0]])])
def test_what_cannot_be_fitted_to_is_refused(scores: Array) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        fit_calibration(scores, np.zeros(scores.shape, int))
