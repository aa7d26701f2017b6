import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaam_pipeline.formats.calibration import Calibration, calibrate, logit, sigmoid

probabilities = st.floats(0, 1, width=32)


@settings(deadline=None)
@given(st.floats(1e-6, 1 - 1e-6), st.floats(0.05, 20), st.floats(-10, 10))
def test_a_score_becomes_the_sigmoid_of_a_line_of_its_logit(score: float, slope: float, bias: float) -> None:
    found = calibrate(np.array([[score]]), Calibration([slope], [bias]))[0, 0]
    meant = slope * math.log(score / (1 - score)) + bias
    expected = 1 / (1 + math.exp(-meant)) if meant > -700 else 0.0
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_every_label_has_a_line_of_its_own() -> None:
    scores = np.full((2, 3), 0.5, np.float32)
    calibrated = calibrate(scores, Calibration([1, 2, 3], [0, math.log(3), -math.log(3)]))
    np.testing.assert_allclose(calibrated, [[0.5, 0.75, 0.25]] * 2)


@settings(deadline=None)
@given(st.lists(probabilities, min_size=2, max_size=20), st.floats(0.1, 2), st.floats(-3, 3))
def test_the_order_of_a_labels_scores_stays_with_its_ties(scores: list[float], slope: float, bias: float) -> None:
    before = np.array(scores, np.float32)[:, None]
    after = calibrate(before, Calibration([slope], [bias]))
    assert np.array_equal(np.unique(before, return_inverse=True)[1], np.unique(after, return_inverse=True)[1])


def test_certain_scores_stay_finite_and_within_bounds() -> None:
    extremes = np.array([[0.0], [1e-45], [1 - 2**-24], [1.0]], np.float32)
    assert np.isfinite(logit(extremes)).all()
    assert (np.diff(logit(extremes)[:, 0]) > 0).all()
    for line in ((1e-3, -50.0), (50.0, 0.0), (1.0, 50.0)):
        after = calibrate(extremes, Calibration([line[0]], [line[1]]))
        assert ((after >= 0) & (after <= 1)).all()


def test_sigmoid_is_exact_in_both_tails_and_warns_of_nothing() -> None:
    np.testing.assert_allclose(sigmoid(np.array([-800.0, -40, 0, 40, 800])), [0, math.exp(-40), 0.5, 1, 1], rtol=1e-12)


def test_without_a_calibration_scores_stay_as_they_are() -> None:
    scores = np.array([[0.2, 0.9]], np.float32)
    assert calibrate(scores, None) is scores


def test_a_calibration_fits_as_many_labels_as_it_has_lines() -> None:
    assert Calibration([1, 2], [0, 0]).fits(2)
    assert not Calibration([1, 2], [0, 0]).fits(3)
    assert not Calibration([1, 2], [0]).fits(2)


@pytest.mark.parametrize("slope", ["0", "-1", "null", '"1"'])
def test_a_slope_that_would_turn_a_ranking_round_cannot_be_read(slope: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(f'{{"slopes": [{slope}], "biases": [0]}}', type=Calibration)
