"""The logistic regressions of one variable against a solver that needs no derivative."""

import numpy as np
import pytest
from numpy.typing import NDArray

from aaam_pipeline.metrics.logistic import LogisticFit

optimize = pytest.importorskip("scipy.optimize")

Array = NDArray[np.float64]


def material(images: int, slope: float, bias: float, shift: float) -> tuple[Array, Array]:
    """Return a variable around `shift`, and truth drawn with a line's probabilities."""
    chance = np.random.default_rng(5)
    x_N1 = chance.normal(size=(images, 1))
    probability_N1 = 1 / (1 + np.exp(-np.clip(slope * x_N1 + bias, -50, 50)))
    return x_N1 + shift, (chance.random((images, 1)) < probability_N1).astype(np.float64)


@pytest.mark.parametrize("log_slope", [False, True])
@pytest.mark.parametrize("prior", [1e-4, 1.0, 100.0])
@pytest.mark.parametrize(
    ("images", "slope", "bias", "shift"),
    [(200, 1.0, 1.0, 0.0), (200, 100.0, 1.0, 8.0), (200, 0.01, -6.0, 8.0), (5, 5.0, 1.0, 8.0), (5, 0.3, -6.0, 0.0)],
)
def test_a_line_is_as_good_as_that_of_a_search_without_derivatives(
    images: int, slope: float, bias: float, shift: float, prior: float, log_slope: bool
) -> None:
    fit = LogisticFit(*material(images, slope, bias, shift), prior, log_slope=log_slope)
    slopes_L, biases_L = fit.solve()
    found = np.stack([np.log(slopes_L) if log_slope else slopes_L, biases_L])
    # from where it ended, so that a long way does not end the search early
    options = {"xatol": 1e-9, "fatol": 1e-14, "maxfev": 2000}
    search = optimize.minimize(
        lambda line: fit.losses(line[:, None])[0], found[:, 0], method="Nelder-Mead", options=options
    )
    assert fit.losses(found)[0] <= search.fun * (1 + 1e-8)


@pytest.mark.parametrize("start", [0.0, 3.0, -3.0, -8.0])
@pytest.mark.parametrize("prior", [1e-6, 1e-2])
def test_a_step_far_too_long_is_shortened_and_not_taken_for_a_gain(start: float, prior: float) -> None:
    # all is told apart, and where the curve is flat the first step is to a slope whose exponential overflows
    x_N1 = np.sort(np.random.default_rng(0).normal(size=(50, 1)) * 5, axis=0)
    fit = LogisticFit(x_N1, (np.arange(50)[:, None] >= 25).astype(np.float64), prior, log_slope=True)
    slopes_L, biases_L = fit.solve(np.array([[start], [0.0]]))
    assert np.isfinite([slopes_L, biases_L]).all()
    found = np.stack([np.log(slopes_L), biases_L])
    assert fit.losses(found)[0] <= fit.losses(np.array([[start], [0.0]]))[0]


def test_a_curve_lost_in_rounding_gives_no_step() -> None:
    fit = LogisticFit(np.full((3, 1), 900.0), np.ones((3, 1)), 1e-300, log_slope=True)
    assert np.isfinite(fit.solve(np.array([[2.0], [0.0]]))).all()
