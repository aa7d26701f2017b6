from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from aaam_pipeline.baselines import tagprop
from aaam_pipeline.baselines.nearest import Nearest
from aaam_pipeline.baselines.tagprop import (
    EPS,
    LEAST_ALPHA,
    Neighbourhood,
    Sigmoids,
    TagProp,
    class_costs,
    fit_sigmoids,
    loss,
    neighbour_weights,
)
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats.calibration import sigmoid


def _material(images: int = 40, labels: int = 5) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    chance = np.random.default_rng(3)
    features = chance.normal(size=(images, 6)).astype(np.float32)
    return features, (features[:, :labels] + 0.5 * chance.normal(size=(images, labels)) > 0.6).astype(np.uint8)


@pytest.mark.parametrize("by", ["distance", "rank"])
@pytest.mark.parametrize("modulated", [False, True])
def test_the_gradient_is_that_of_finite_differences(by: str, modulated: bool) -> None:
    features, targets = _material()
    near = Neighbourhood(*Nearest(features, unit=False).others(7), targets)
    chance = np.random.default_rng(5)
    sigmoids = Sigmoids(chance.uniform(1, 9, 5), chance.normal(size=5)) if modulated else None
    parameters = chance.uniform(0.2, 1, 1 if by == "distance" else 7)
    _, gradient = loss(parameters, near, targets, by, sigmoids)
    for index in range(len(parameters)):
        step = np.zeros(len(parameters))
        step[index] = 1e-2
        above, below = (loss(parameters + sign * step, near, targets, by, sigmoids)[0] for sign in (1, -1))
        assert gradient[index] == pytest.approx((above - below) / 2e-2, rel=2e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("by", "parameters", "expected"),
    [
        # softmax(-[0, 1, 2]) and softmax(-[0, 0, ln 2]) = (2, 2, 1) / 5
        ("distance", [1.0], np.exp([0, -1, -2]) / np.exp([0, -1, -2]).sum()),
        ("rank", [0, 0, np.log(2)], [0.4, 0.4, 0.2]),
    ],
)
def test_weights_are_those_worked_out_by_hand(by: str, parameters: list[float], expected: NDArray[np.float64]) -> None:
    weights = neighbour_weights(np.array(parameters), np.array([[0.0, 1, 2], [5, 6, 7]]), by)
    np.testing.assert_allclose(weights, [expected, expected])


def test_without_distance_the_likelihood_is_that_worked_out_by_hand() -> None:
    # one dimension, images at 0, 1, 3; the nearest other of each: 1, 0, 1. Labels: [1, 1, 0]
    features = np.array([[0], [1], [3]], np.float32)
    targets = np.array([[1], [1], [0]], np.uint8)
    near = Neighbourhood(*Nearest(features, unit=False).others(1), targets)
    np.testing.assert_array_equal(near.ids_NK[:, 0], [1, 0, 1])
    np.testing.assert_allclose(near.distances_NK[:, 0], [1, 1, 2])
    value, gradient = loss(np.zeros(1), near, targets, "distance", None)
    # every prediction is 1 - eps/2: right for the two that are present, c = 1/2, wrong for the absent one, c = 1
    assert value == pytest.approx(-np.log(1 - EPS / 2) - np.log(EPS / 2), rel=1e-4)
    assert gradient == pytest.approx([0])


def test_scores_of_a_toy_set_are_those_worked_out_by_hand() -> None:
    # two tight pairs far apart, each with a label of its own: of an image's two neighbours only the near one counts
    features = np.array([[0.0], [1], [100], [101]], np.float32)
    targets = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.uint8)
    method = TagProp(k=2, sigmoid=False, unit=False).fit(features, targets)
    scores = method.predict_scores(np.array([[0.5], [100.5]], np.float32))
    np.testing.assert_allclose(scores, [[1 - EPS / 2, EPS / 2], [EPS / 2, 1 - EPS / 2]], atol=1e-6)
    assert method.parameters_[0] > 0.05
    # the second neighbour of every training image is in the other pair: all weight goes to the first rank
    ranked = TagProp(k=2, weights="rank", sigmoid=False, unit=False).fit(features, targets)
    assert neighbour_weights(ranked.parameters_, np.zeros((1, 2)), "rank")[0, 0] > 0.99


def test_learning_lowers_the_loss_and_rounds_do_not_raise_it() -> None:
    features, targets = _material(200)
    near = Neighbourhood(*Nearest(features, unit=False).others(30), targets)
    for by, size in (("distance", 1), ("rank", 30)):
        plain = TagProp(k=30, weights=by, sigmoid=False, unit=False).fit(features, targets)  # type: ignore[arg-type]
        assert plain.losses_[0] < loss(np.zeros(size), near, targets, by, None)[0]
        rounds = TagProp(k=30, weights=by, unit=False).fit(features, targets).losses_  # type: ignore[arg-type]
        assert all(later <= earlier + 1e-5 for earlier, later in pairwise(rounds))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = _material()
    whole = TagProp(k=9).fit(features, targets).predict_scores(features)
    monkeypatch.setattr(tagprop, "BLOCK_BYTES", 4 * 9 * 5 * 7)
    np.testing.assert_allclose(TagProp(k=9).fit(features, targets).predict_scores(features), whole, atol=1e-5)


def _flat(images: int = 300, labels: int = 30) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return images whose labels depend so little on their neighbours that the likelihood is nearly flat."""
    chance = np.random.default_rng(11)
    features = chance.normal(size=(images, 6)).astype(np.float32)
    towards = features @ chance.normal(size=(6, labels)) * 0.4
    return features, (chance.random((images, labels)) < sigmoid(towards - 3)).astype(np.uint8)


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_the_weights_are_at_the_optimum_of_one_dimension_in_whatever_unit(modulated: bool, size: float) -> None:
    features, targets = _flat()
    method = TagProp(k=20, sigmoid=modulated, unit=False).fit(features * np.float32(size), targets)
    near = Neighbourhood(*Nearest(features, unit=False).others(20), targets)
    found = method.parameters_[0] * size

    def value(theta: float) -> float:
        return loss(np.array([theta]), near, targets, "distance", method.sigmoids_)[0]

    exact = minimize_scalar(value, bounds=(0, 20), method="bounded", options={"xatol": 1e-9})
    assert 0.1 < exact.x < 19
    assert value(found) - exact.fun < 1e-8
    assert found == pytest.approx(exact.x, rel=5e-3)


@pytest.mark.parametrize("modulated", [False, True])
def test_the_weights_by_rank_are_at_their_optimum(modulated: bool) -> None:
    features, targets = _flat()
    method = TagProp(k=8, weights="rank", sigmoid=modulated, unit=False).fit(features, targets)
    near = Neighbourhood(*Nearest(features, unit=False).others(8), targets)
    arguments = (near, targets, "rank", method.sigmoids_)
    # another solver, from elsewhere
    exact = minimize(loss, np.linspace(0, 1, 8), arguments, "BFGS", jac=True, options={"gtol": 1e-9})
    assert loss(method.parameters_, *arguments)[0] - exact.fun < 1e-7


def test_sigmoids_are_those_of_a_solver_that_takes_the_labels_one_by_one() -> None:
    chance = np.random.default_rng(1)
    x = chance.uniform(size=(300, 4)) * [1, 1, 0.01, 0.3]
    targets = (chance.uniform(size=x.shape) < sigmoid(4 * x - [1, 2, 3, 7])).astype(np.uint8)
    present, absent = class_costs(targets)
    found = fit_sigmoids(x, targets, present, absent)
    for label, (x_N, truth_N) in enumerate(zip(x.T, targets.T, strict=True)):
        costs_N = np.where(truth_N > 0, present, absent)
        deviation, costs_N = x_N.std(), costs_N / costs_N.sum()

        def posterior(line: NDArray[np.float64]) -> float:
            logits_N = line[0] / deviation * x_N + line[1]  # noqa: B023
            likelihood = -(costs_N * np.log(sigmoid(np.where(truth_N > 0, 1, -1) * logits_N))).sum()  # noqa: B023
            return float(likelihood + 1e-4 / 2 * (line**2).sum())

        bounds = [(LEAST_ALPHA * deviation, None), (None, None)]
        exact = minimize(posterior, np.ones(2), method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-9})
        ours = np.array([found.alpha_L[label] * deviation, found.beta_L[label]])
        assert posterior(ours) <= exact.fun + 1e-10
        np.testing.assert_allclose(ours, exact.x, atol=2e-3)


def test_sigmoids_stay_finite_and_never_turn_a_ranking_upside_down() -> None:
    x = np.linspace(0, 1, 20)[:, None].repeat(4, axis=1)
    targets = np.zeros((20, 4), np.uint8)
    targets[10:, 0] = 1  # separated perfectly
    targets[0, 1] = 1  # the only image with the label has no neighbour with it
    targets[:, 3] = 1
    found = fit_sigmoids(x, targets, *class_costs(targets))
    assert np.isfinite(found).all()
    assert (found.alpha_L >= LEAST_ALPHA).all()
    assert found.alpha_L[1] == pytest.approx(LEAST_ALPHA)
    p = found(x)
    assert p[-1, 0] > 0.9
    assert p[:, 2].max() < 0.1
    assert p[:, 3].min() > 0.9


def test_an_image_is_not_its_own_neighbour_even_among_equal_ones() -> None:
    features = np.array([[1.0, 0]] * 5 + [[0, 1]], np.float32)
    ids, distances = Nearest(features, unit=True).others(2)
    assert ids.shape == (6, 2)
    assert (ids != np.arange(6)[:, None]).all()
    np.testing.assert_allclose(distances[:5], 0)


def test_bad_settings_are_one_clear_line() -> None:
    features, targets = _material()
    with pytest.raises(UsageError, match="weights must be 'distance' or 'rank'"):
        TagProp(weights="near").fit(features, targets)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="k must be at least 1"):
        TagProp(k=0).fit(features, targets)
    # more neighbours than images: all of them
    assert TagProp(k=10**6).fit(features, targets).predict_scores(features).shape == (40, 5)
