"""The compared methods against the same equations written another way: equal but for rounding."""

import numpy as np
import pytest
from baselines import reference
from numpy.typing import NDArray

from aaam_pipeline.baselines import create
from aaam_pipeline.baselines.semantic import SemanticSpace, SpaceSettings
from aaam_pipeline.baselines.tagprop import TagProp

Data = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]


def material(seed: int, whole: bool) -> Data:
    """Return training images, their labels (the last on none) and images to score; `whole`: many are equally far."""
    rng = np.random.default_rng(seed)
    train, queries = (
        (rng.integers(-2, 3, (count, 4)) if whole else rng.normal(size=(count, 4))).astype(np.float32)
        for count in (50, 12)
    )
    targets = (rng.random((50, 6)) < [0.5, 0.3, 0.2, 0.1, 0.04, 0]).astype(np.uint8)
    targets[0, 0] = 1
    return train, targets, queries


@pytest.fixture(params=[(0, False), (1, False), (2, True), (3, True)], ids=["a", "b", "ties a", "ties b"])
def data(request: pytest.FixtureRequest) -> Data:
    return material(*request.param)


@pytest.mark.parametrize("k", [1, 4, 25, 80])
@pytest.mark.parametrize("name", ["knn", "tagrel"])
def test_votes_of_neighbours(name: str, k: int, data: Data) -> None:
    train, targets, queries = data
    expected = getattr(reference, name)
    found = create(name, k=k, unit=False).fit(train, targets).predict_scores(queries)
    wanted = [expected(query, train.tolist(), targets.tolist(), k) for query in queries.tolist()]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3, 60])
@pytest.mark.parametrize("decay", [0.5, 20.0])
def test_two_passes(k: int, decay: float, data: Data) -> None:
    train, targets, queries = data
    found = create("2pknn", k=k, decay=decay, unit=False).fit(train, targets).predict_scores(queries)
    wanted = [reference.two_pass_knn(query, train.tolist(), targets.tolist(), k, decay) for query in queries.tolist()]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_tagprop() -> None:
    train, targets, queries = material(0, whole=False)
    method = TagProp(k=10, unit=False).fit(train, targets)
    assert method.sigmoids_ is not None
    theta, alphas, betas = method.parameters_[0], method.sigmoids_.alpha_L, method.sigmoids_.beta_L
    loss = reference.tagprop_loss(train.tolist(), targets.tolist(), 10, theta, alphas.tolist(), betas.tolist())
    assert method.losses_[-1] == pytest.approx(loss, rel=1e-6)
    for query, found in zip(queries.tolist(), method.predict_scores(queries), strict=True):
        near = reference.neighbours(query, train.tolist(), 10)
        x = np.array(reference.tagprop_x(query, train.tolist(), targets.tolist(), near, theta))
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-(alphas * x + betas))), rtol=1e-5)


def test_combined() -> None:
    train, targets, queries = material(1, whole=False)
    method = create("combined", base="knn", base_params={"k": 7}, k=9, weight=0.3).fit(train, targets)
    base = create("knn", k=7).fit(train, targets).predict_scores(queries)
    wanted = [
        reference.combined(query, train.tolist(), targets.tolist(), 9, 0.3, own)
        for query, own in zip(queries.tolist(), base.tolist(), strict=True)
    ]
    np.testing.assert_allclose(method.predict_scores(queries), wanted, atol=1e-6)


@pytest.mark.parametrize("kappa", [0.1, 1.0])
def test_kernel_cca_of_a_linear_kernel_is_ridge_cca(kappa: float) -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(80, 7)).astype(np.float32)
    targets = (features[:, :4] + 0.5 * rng.normal(size=(80, 4)) > 0.4).astype(np.uint8)
    settings = SpaceSettings(kernel="linear", kappa=kappa, power=0, unit=False)
    space = SemanticSpace(features, targets, settings)
    correlations, of_x, of_y = reference.linear_cca(features.astype(np.float64), targets.astype(np.float64), kappa)
    np.testing.assert_allclose(space.correlations_E, correlations, rtol=1e-5)
    # the signs are free, and the same for images and labels
    coordinates, labels = (features - features.mean(0)) @ of_x, (np.eye(4) - targets.mean(0)) @ of_y
    signs = np.sign((space.train_NE * coordinates).sum(0))
    np.testing.assert_allclose(space.train_NE * signs, coordinates, atol=1e-5)
    np.testing.assert_allclose(space.project(features) * signs, coordinates, atol=1e-5)
    np.testing.assert_allclose(space.project_labels(np.eye(4)) * signs, labels, atol=1e-5)
    # a label's score is the cosine in that space, its coordinates multiplied by the correlations
    found = create("kcca", kernel="linear", kappa=kappa, unit=False).fit(features, targets).predict_scores(features)
    images, names = coordinates * correlations, labels * correlations
    cosines = images @ names.T / np.outer(np.linalg.norm(images, axis=1), np.linalg.norm(names, axis=1))
    np.testing.assert_allclose(found, cosines, atol=1e-4)
