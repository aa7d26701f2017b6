"""Softmax, logistic regression and SVM against scikit-learn, finite differences, and answers worked out by hand."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import check_grad, minimize
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import LinearSVC

from aaam_pipeline.baselines import create
from aaam_pipeline.core.errors import UsageError

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(2, 3, (80, 5)).astype(np.float32)
HIDDEN = FEATURES @ RNG.normal(size=(5, 3)) + RNG.normal(size=(80, 3)) * 3
TARGETS = (np.median(HIDDEN, axis=0) < HIDDEN).astype(np.uint8)
STANDARD = (FEATURES - FEATURES.mean(0)) / FEATURES.std(0)
# two images, at -1 and 1, one of each kind
PAIR = np.array([[-1], [1]], np.float32), np.array([[1, 0], [0, 1]], np.uint8)
# features that say nothing
BLANK = np.ones((4, 2), np.float32)
SHARES = np.array([[1, 0], [1, 0], [1, 1], [0, 0]], np.uint8)


def test_svm_of_two_images() -> None:
    # minimise (1 - w)^2 + alpha w^2: w = 1 / (1 + alpha)
    found = create("svm", alpha=3.0).fit(*PAIR).predict_scores(np.array([[1], [2]], np.float32))
    np.testing.assert_allclose(found, [[-0.25, 0.25], [-0.5, 0.5]], rtol=1e-6)


def test_svm_with_a_squared_hinge_of_two_images() -> None:
    # both images are support vectors: (1 - w)^2 + alpha / 2 w^2 is least at w = 2 / (2 + alpha)
    found = create("svm", loss="squared_hinge", alpha=2.0).fit(*PAIR).predict_scores(PAIR[0])
    np.testing.assert_allclose(found, [[0.5, -0.5], [-0.5, 0.5]], atol=1e-4)


def test_logistic_regression_without_evidence_is_the_prior() -> None:
    found = create("logistic").fit(BLANK, SHARES).predict_scores(BLANK[:1])
    np.testing.assert_allclose(found, [[0.75, 0.25]], atol=1e-3)


def test_logistic_regression_of_two_images() -> None:
    # at the best w the slope of log(1 + exp(-w)) + alpha / 2 w^2 is 0; for w = 1: alpha = 1 / (1 + e)
    found = create("logistic", alpha=1 / (1 + np.e)).fit(*PAIR).predict_scores(PAIR[0][1:])
    np.testing.assert_allclose(found, [[1 / (1 + np.e), np.e / (1 + np.e)]], atol=1e-4)


def test_softmax_without_evidence_is_the_mean_of_label_distributions() -> None:
    # (1, 0), (1, 0), (1/2, 1/2), and an image without a label, which says nothing
    found = create("softmax").fit(BLANK, SHARES).predict_scores(BLANK[:1])
    np.testing.assert_allclose(found, [[2.5 / 3, 0.5 / 3]], atol=1e-3)


def test_least_squares_is_ridge_regression() -> None:
    known = Ridge(alpha=0.3 * 80).fit(STANDARD, 2.0 * TARGETS - 1)
    found = create("svm", alpha=0.3).fit(FEATURES, TARGETS).predict_scores(FEATURES)
    np.testing.assert_allclose(found, known.predict(STANDARD), atol=1e-4)


def test_the_squared_hinge_is_libsvms() -> None:
    # theirs also holds the bias down, but little when its feature is large
    alpha = 0.5
    for label in range(3):
        svc = LinearSVC(C=1 / (80 * alpha), dual=False, intercept_scaling=1e3, tol=1e-8).fit(
            STANDARD, TARGETS[:, label]
        )
        found = create("svm", loss="squared_hinge", alpha=alpha).fit(FEATURES, TARGETS).predict_scores(FEATURES)
        np.testing.assert_allclose(found[:, label], svc.decision_function(STANDARD), atol=1e-3)


def test_logistic_regression_is_scikit_learns() -> None:
    found = create("logistic", alpha=0.02).fit(FEATURES, TARGETS).predict_scores(FEATURES)
    for label in range(3):
        known = LogisticRegression(C=1 / (80 * 0.02), solver="newton-cholesky", tol=1e-6)
        known.fit(STANDARD, TARGETS[:, label])
        np.testing.assert_allclose(found[:, label], known.predict_proba(STANDARD)[:, 1], atol=3e-4)


def test_a_label_is_fitted_to_the_images_of_which_it_is_known() -> None:
    partial = TARGETS.astype(np.int8)
    partial[10:30, 0] = partial[40:, 1] = -1
    scores = create("logistic", alpha=0.02).fit(FEATURES, partial).predict_scores(FEATURES)
    values = create("svm", alpha=0.3).fit(FEATURES, partial).predict_scores(FEATURES)
    for label in range(3):
        rows = partial[:, label] >= 0
        known = LogisticRegression(C=1 / (80 * 0.02), solver="newton-cholesky", tol=1e-6)
        known.fit(STANDARD[rows], TARGETS[rows, label])
        np.testing.assert_allclose(scores[:, label], known.predict_proba(STANDARD)[:, 1], atol=3e-4)
        squares = Ridge(alpha=80 * 0.3).fit(STANDARD[rows], 2.0 * TARGETS[rows, label] - 1)
        np.testing.assert_allclose(values[:, label], squares.predict(STANDARD), atol=1e-3)
    # where all is known, the closed solution and the steps of L-BFGS end in the same
    stepwise = create("svm", alpha=0.3).fit(FEATURES, np.vstack([TARGETS[:-1], [[1, 1, -1]]]).astype(np.int8))
    closed = create("svm", alpha=0.3).fit(FEATURES, np.vstack([TARGETS[:-1], [[1, 1, 0]]]).astype(np.int8))
    np.testing.assert_allclose(stepwise.weights_DL_[:, :2], closed.weights_DL_[:, :2], atol=2e-4)


def test_softmax_of_single_labels_is_multinomial_regression() -> None:
    kinds = HIDDEN.argmax(1)
    found = create("softmax", alpha=0.02).fit(FEATURES, np.eye(3, dtype=np.uint8)[kinds]).predict_scores(FEATURES)
    known = LogisticRegression(C=1 / (80 * 0.02), tol=1e-8).fit(STANDARD, kinds)
    np.testing.assert_allclose(found, known.predict_proba(STANDARD), atol=1e-4)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "params"), [("softmax", {}), ("logistic", {}), ("svm", {"loss": "squared_hinge"}), ("svm", {})]
)
def test_gradients_are_those_of_finite_differences(name: str, params: dict[str, Any]) -> None:
    method: Any = create(name, **params)
    targets = np.vstack([TARGETS[:6], np.zeros((1, 3), np.uint8)]).astype(np.float64)
    targets[2:4, 1] = targets[5, 0] = -1

    def loss(flat: NDArray[np.float64]) -> float:
        return float(method._loss(flat.reshape(7, 3), targets)[0])

    def slope(flat: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ravel(method._loss(flat.reshape(7, 3), targets)[1])

    assert check_grad(loss, slope, RNG.normal(size=21)) < 1e-5


@pytest.mark.parametrize("alpha", [1e-4, 1e-1])
@pytest.mark.parametrize(("name", "params"), [("softmax", {}), ("logistic", {}), ("svm", {"loss": "squared_hinge"})])
def test_the_loss_is_at_its_minimum_also_where_features_are_alike_and_labels_rare(
    name: str, params: dict[str, Any], alpha: float
) -> None:
    rng = np.random.default_rng(7)
    common = rng.normal(size=(400, 60)) * np.logspace(0, -2, 60)
    features = (common @ np.linalg.qr(rng.normal(size=(60, 60)))[0] + rng.normal(0, 5, 60)).astype(np.float32)
    targets = (rng.random((400, 12)) < 1 / (1 + np.exp(3.5 - common @ rng.normal(0, 2, (60, 12))))).astype(np.uint8)
    method: Any = create(name, alpha=alpha, **params).fit(features, targets)
    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    standard = (features - mean) / deviation

    def value(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, biases = flat[12:].reshape(60, 12), flat[:12]
        loss, error = method._loss(standard @ weights + biases, targets.astype(np.float64))
        slope = standard.T @ error / 400 + alpha * weights
        return loss / 400 + alpha / 2 * np.square(weights).sum(), np.concatenate([error.mean(0), slope.ravel()])

    found = np.concatenate([method.biases_L_ + mean @ method.weights_DL_, (method.weights_DL_.T * deviation).T.ravel()])
    # from there, thousands of steps in float64
    options = {"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 50}
    least = minimize(value, found, jac=True, method="L-BFGS-B", options=options).fun
    assert value(found)[0] - least < 2e-6 * least


@pytest.mark.parametrize("name", ["softmax", "logistic", "svm"])
def test_a_penalty_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="alpha must be above 0"):
        create(name, alpha=0).fit(FEATURES, TARGETS)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(UsageError, match="loss must be"):
        create("svm", loss="hinge").fit(FEATURES, TARGETS)
