import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import eig

from aaam_pipeline import baselines
from aaam_pipeline.baselines import base, semantic
from aaam_pipeline.baselines.kcca import Kcca, KccaThen
from aaam_pipeline.baselines.semantic import Kernel, SemanticSpace, SpaceSettings
from aaam_pipeline.core.errors import DatasetError, UsageError


def _material(images: int = 60, labels: int = 5) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    chance = np.random.default_rng(3)
    features = chance.uniform(size=(images, 8)).astype(np.float32)
    targets = (features[:, :labels] + 0.3 * chance.normal(size=(images, labels)) > 0.6).astype(np.uint8)
    return features, targets


def _centred(kernel: NDArray[np.floating]) -> NDArray[np.float64]:
    centre = np.eye(len(kernel)) - 1 / len(kernel)
    return np.asarray(centre @ kernel.astype(np.float64) @ centre)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "chi2"])
@pytest.mark.parametrize("kappa", [0.1, 2.0])
def test_correlations_and_coordinates_are_those_of_the_dense_eigen_problem(kernel: str, kappa: float) -> None:
    features, targets = _material()
    space = SemanticSpace(features, targets, SpaceSettings(kernel=kernel, kappa=kappa, power=0, unit=False))
    kx = _centred(Kernel(kernel, features)(features, features))
    ky = _centred(targets.astype(np.float64) @ targets.T)
    ridge_x, ridge_y = (kappa * np.trace(each) / len(features) * np.eye(len(features)) for each in (kx, ky))
    values, vectors = eig(np.linalg.solve(kx + ridge_x, ky) @ np.linalg.solve(ky + ridge_y, kx))
    order = np.argsort(-values.real)[: targets.shape[1]]
    np.testing.assert_allclose(space.correlations_E, np.sqrt(values.real[order]), atol=1e-5)
    for dimension, vector in enumerate(vectors[:, order].real.T):
        # the constraint: a' (Kx^2 + kx Kx) a = 1; the sign is free
        expected = kx @ vector / np.sqrt(vector @ (kx @ kx + ridge_x @ kx) @ vector)
        found = space.train_NE[:, dimension]
        np.testing.assert_allclose(found * np.sign(found @ expected), expected, atol=2e-4)


def test_new_images_are_projected_as_the_training_images_are() -> None:
    features, targets = _material()
    space = SemanticSpace(features, targets, SpaceSettings())
    np.testing.assert_allclose(space.project(features), space.train_NE, atol=1e-4)
    assert space.project(features[:0]).shape == (0, 5)


def test_a_linear_kernel_without_noise_correlates_perfectly() -> None:
    # the label is a linear function of the feature: r = 1 but for the regularisation, worked out by hand below
    features = np.array([[0.0], [0], [1], [1]], np.float32)
    targets = np.array([[0], [0], [1], [1]], np.uint8)
    space = SemanticSpace(features, targets, SpaceSettings(kernel="linear", kappa=0.25, unit=False))
    # both kernels have the one eigenvalue 1, so kx = ky = 0.25 * 1 / 4: r^2 = (1 / (1 + kx)) (1 / (1 + ky))
    assert space.correlations_E == pytest.approx([1 / (1 + 1 / 16)])
    scores = Kcca(kernel="linear", unit=False).fit(features, targets).predict_scores(features)
    # one dimension: the cosine is 1 on the label's side of the mean, -1 on the other
    np.testing.assert_allclose(scores[:, 0], [-1, -1, 1, 1], atol=1e-5)


def test_with_all_images_as_landmarks_nystroem_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = _material()
    exact = SemanticSpace(features, targets, SpaceSettings(landmarks=60))
    monkeypatch.setattr(semantic, "EXACT", 59)
    monkeypatch.setattr(base, "BLOCK", 17)
    near = SemanticSpace(features, targets, SpaceSettings(landmarks=60))
    np.testing.assert_allclose(near.correlations_E, exact.correlations_E, atol=1e-3)
    signs = np.sign((near.train_NE * exact.train_NE).sum(0))
    np.testing.assert_allclose(near.train_NE * signs, exact.train_NE, atol=5e-3)
    np.testing.assert_allclose(near.project(features) * signs, exact.project(features), atol=5e-3)
    # fewer: an approximation from below, of the right kind
    few = SemanticSpace(features, targets, SpaceSettings(landmarks=30))
    assert (few.correlations_E <= exact.correlations_E + 1e-6).all()
    assert few.correlations_E[0] > 0.7 * exact.correlations_E[0]


@pytest.mark.parametrize("shift", [10.0, 1000.0])
def test_features_that_differ_little_for_their_size_are_told_apart(shift: float) -> None:
    features, targets = _material()
    # numbers that float32 holds exactly at both positions, so that only the distances could differ
    features = np.round(features * 256) / 256
    near, far = (
        Kcca(unit=False, kappa=0.01).fit(each, targets).predict_scores(each)
        for each in (features, features + np.float32(shift))
    )
    np.testing.assert_allclose(near, far, atol=2e-3)


def test_a_kernel_that_is_damaged_by_rounding_is_refused_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = _material()
    # a kernel has no negative eigenvalue
    damaged = np.diag(np.where(np.arange(len(features)), 1, -5)).astype(np.float32)
    monkeypatch.setattr(Kernel, "__call__", lambda self, one, other: damaged)
    with pytest.raises(DatasetError, match=r"differ too little for kappa 0\.001; use a larger one"):
        SemanticSpace(features, targets, SpaceSettings(kappa=1e-3))


def test_landmarks_are_drawn_by_what_is_in_a_row_not_by_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = _material()
    order = np.random.default_rng(5).permutation(len(features))
    drawn, again, other = (semantic.draw_landmarks(features, 20, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(drawn, again)
    assert len(set(drawn)) == 20
    assert set(drawn) != set(other)
    np.testing.assert_array_equal(order[semantic.draw_landmarks(features[order], 20, 1)], drawn)
    assert sorted(semantic.draw_landmarks(features, 100, 1)) == list(range(60))
    monkeypatch.setattr(semantic, "EXACT", 59)
    one = Kcca(landmarks=20).fit(features, targets).predict_scores(features)
    two = Kcca(landmarks=20).fit(features[order], targets[order]).predict_scores(features)
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_two_clusters_give_each_image_the_labels_of_its_own() -> None:
    features = np.array([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    targets = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.uint8)
    # an image of the first cluster and its mirror image: labels exchange their scores
    scores = Kcca().fit(features, targets).predict_scores(np.array([[1, 0.05], [0.05, 1]], np.float32))
    np.testing.assert_allclose(scores, [[1, -1], [-1, 1]], atol=1e-3)
    nearest = KccaThen(base="knn", base_params={"k": 2}).fit(features, targets)
    np.testing.assert_allclose(nearest.predict_scores(np.array([[1, 0.05]], np.float32)), [[1, 0]], atol=1e-6)


def test_neighbours_in_the_space_share_more_labels_than_neighbours_by_feature() -> None:
    chance = np.random.default_rng(1)
    features = chance.normal(size=(400, 30)).astype(np.float32)
    targets = (features[:, :3] > 0).astype(np.uint8)  # 27 features that mean nothing
    plain = baselines.create("knn", k=10).fit(features[:300], targets[:300]).predict_scores(features[300:])
    method = KccaThen(base="knn", base_params={"k": 10}, kernel="linear").fit(features[:300], targets[:300])
    inside = method.predict_scores(features[300:])
    right = [((scores > 0.5) == targets[300:]).mean() for scores in (plain, inside)]
    assert right[1] > right[0] + 0.1


def test_the_space_is_made_again_only_for_other_data_or_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets = _material()
    first = Kcca().fit(features, targets)
    assert KccaThen(base="tagrel").fit(features.copy(), targets).space_ is first.space_
    assert Kcca(kappa=2).fit(features, targets).space_ is not first.space_
    features[3, 1] += 1
    assert Kcca().fit(features, targets).space_ is not first.space_


def test_its_grid_is_that_of_the_base_for_each_kappa() -> None:
    grid = KccaThen(base="2pknn").grid
    own = baselines.create("2pknn").grid
    assert len(grid["base_params"]) == np.prod([len(values) for values in own.values()])
    assert len(grid["kappa"]) == 3


@pytest.mark.parametrize(
    ("params", "error", "text"),
    [
        ({"kernel": "cubic"}, UsageError, "no kernel 'cubic'; known: linear, rbf, chi2"),
        ({"kappa": 0}, UsageError, "kappa must be above 0"),
        ({"landmarks": 0}, UsageError, "landmarks must be at least 1"),
    ],
)
def test_bad_settings_are_one_clear_line(params: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Kcca(**params).fit(*_material())  # type: ignore[arg-type]


def test_where_nothing_correlates_scores_are_the_labels_frequencies() -> None:
    features, targets = _material()
    for some, labels in (
        (features, np.broadcast_to(targets[:1], targets.shape)),
        (np.ones_like(features), targets),
        (features[:1], targets[:1]),
    ):
        method = Kcca().fit(some, labels)
        assert method.correlations_.tolist() == [0]
        np.testing.assert_allclose(method.predict_scores(features[:2]), [labels.mean(0)] * 2, rtol=1e-6)
        assert np.isfinite(KccaThen().fit(some, labels).predict_scores(features)).all()


def test_wrong_data_and_bases_are_one_clear_line() -> None:
    features, targets = _material()
    with pytest.raises(DatasetError, match="not negative"):
        Kcca(kernel="chi2").fit(features - 0.5, targets)
    with pytest.raises(UsageError, match="base must be a method over features"):
        KccaThen(base="kcca").fit(features, targets)


def test_it_says_up_front_what_it_needs() -> None:
    assert "exact, with a kernel of 20,000 x 20,000: 3.2 GB" in Kcca().plan(20_000, 4096, 81)
    assert "Nystroem with 4,000 landmarks" in Kcca().plan(20_001, 4096, 81)


def test_kernels_are_those_worked_out_by_hand() -> None:
    features = np.array([[1.0, 0], [0, 1], [1, 3]], np.float32)
    # squared distances 2, 9, 5, mean over all nine pairs 32 / 9; chi2: 1/2 (1 + 1), 1/2 (0 + 3), 1/2 (1 + 4 / 4)
    squared = np.array([[0, 2, 9], [2, 0, 5], [9, 5, 0]])
    chi2 = np.array([[0, 1, 1.5], [1, 0, 1], [1.5, 1, 0]])
    np.testing.assert_allclose(Kernel("rbf", features)(features, features), np.exp(-squared * 9 / 32), atol=1e-6)
    np.testing.assert_allclose(Kernel("chi2", features)(features, features), np.exp(-chi2 * 9 / 7), atol=1e-6)
    np.testing.assert_allclose(Kernel("linear", features)(features, features), features @ features.T)
