"""What every compared method promises, checked on all of them; what each computes is in a file per family."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone

from aaam_pipeline import metrics
from aaam_pipeline.baselines import NAMES, Method, base, registry
from aaam_pipeline.baselines.tuning import combinations
from aaam_pipeline.core.errors import DatasetError, UsageError
from aaam_pipeline.datasets.scenes.compose import LABELS, compose

Data = tuple[NDArray[np.float32], NDArray[np.uint8]]
IMAGES, DIMENSION, COUNT = 60, 12, 5
every = pytest.mark.parametrize("name", NAMES)
# what is large enough for so few images takes a tenth of the time
SMALLER = {"cnn-rnn": {"hidden": 64, "embedding": 64}}


def create(name: str, **params: object) -> Method:
    return registry.create(name, **SMALLER.get(name, {}) | params)


def made_up(images: int, seed: int) -> Data:
    """Return features around a centre for each label, and one to three labels for every image."""
    rng = np.random.default_rng(seed)
    centres_LD = np.random.default_rng(0).normal(size=(COUNT, DIMENSION))
    targets_NL = np.zeros((images, COUNT), np.uint8)
    for row in targets_NL:
        row[rng.choice(COUNT, rng.integers(1, 4), replace=False)] = 1
    features_ND = targets_NL @ centres_LD + rng.normal(size=(images, DIMENSION)) / 2
    return features_ND.astype(np.float32), targets_NL


TRAIN, QUERIES = made_up(IMAGES, 1), made_up(20, 2)[0]


def scores(name: str, train: Data = TRAIN, queries: NDArray[np.float32] = QUERIES) -> NDArray[np.float32]:
    return create(name).fit(*train).predict_scores(queries)


@pytest.fixture(scope="module")
def scenes() -> tuple[Data, Data]:
    """Generated scenes by the mean and deviation of the colours in 6 x 6 fields: 240 to learn from, 120 to test on."""
    pictures = [compose(np.random.default_rng([7, 0, number]), 48) for number in range(360)]
    fields = np.stack([np.asarray(each.image, np.float32).reshape(6, 8, 6, 8, 3) for each in pictures]) / 255
    features = np.concatenate([each.reshape(360, -1) for each in (fields.mean((2, 4)), fields.std((2, 4)))], axis=1)
    targets = np.array([[label in each.labels for label in LABELS] for each in pictures], np.uint8)
    return (features[:240], targets[:240]), (features[240:], targets[240:])


@every
def test_it_is_made_without_arguments_and_cloned_as_scikit_learn_does(name: str) -> None:
    method = create(name)
    params = method.get_params()
    assert params == {each: getattr(method, each) for each in params}
    assert clone(method.fit(*TRAIN)).get_params() == params
    assert not hasattr(clone(method), "labels_")
    assert repr(method).startswith(type(method).__name__)


@every
def test_hyper_parameters_can_be_changed_but_not_made_up(name: str) -> None:
    with pytest.raises(UsageError, match="no parameter 'nonsense'"):
        create(name, nonsense=1)
    for choice in combinations(create(name).grid):
        assert choice.items() <= create(name, **choice).get_params().items()


@every
def test_it_says_where_it_is_from_and_in_what_it_differs(name: str) -> None:
    assert "Deviations:" in (type(create(name)).__doc__ or "")


@every
def test_unknown_labels_are_taken_or_refused_in_one_line(name: str) -> None:
    features, targets = TRAIN
    partial = targets.astype(np.int8)
    partial[::3, 0] = partial[1::3, 2] = -1
    method = create(name)
    if not method.partial_labels:
        with pytest.raises(UsageError, match=r"^\w+ needs training images of which every label is known"):
            method.fit(features, partial)
        return
    found = method.fit(features, partial).predict_scores(QUERIES)
    assert np.isfinite(found).all()
    # an image of which nothing is known teaches nothing, if the features keep their mean and deviation
    both = np.concatenate([features, features]), np.concatenate([partial, np.full_like(partial, -1)])
    assert np.isfinite(create(name).fit(*both).predict_scores(QUERIES)).all()
    # what a label learns is not what it would learn if unknown were no
    assert np.abs(found - create(name).fit(features, np.maximum(partial, 0)).predict_scores(QUERIES)).max() > 1e-3


def test_the_methods_that_take_unknown_labels() -> None:
    assert {name for name in NAMES if create(name).partial_labels} == {"softmax", "logistic", "svm", "bce", "warp"}


@every
def test_every_image_gets_a_finite_score_for_every_label(name: str) -> None:
    method = create(name)
    assert method.fit(*TRAIN) is method
    found = method.predict_scores(QUERIES)
    assert found.shape == (len(QUERIES), COUNT)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert method.predict_scores(QUERIES[:0]).shape == (0, COUNT)


@every
def test_the_same_seed_gives_the_same_scores_and_fitting_again_forgets(name: str) -> None:
    wider = np.concatenate([TRAIN[0], TRAIN[0]], axis=1), TRAIN[1][:, ::-1]
    used = create(name).fit(*wider).fit(*TRAIN)
    np.testing.assert_array_equal(used.predict_scores(QUERIES), scores(name))


@every
def test_the_order_of_training_images_does_not_matter(name: str) -> None:
    if type(create(name)).ordered:
        pytest.skip("draws batches of images")
    order = np.random.default_rng(3).permutation(IMAGES)
    np.testing.assert_allclose(scores(name, (TRAIN[0][order], TRAIN[1][order])), scores(name), rtol=2e-3, atol=2e-3)


@every
def test_images_are_scored_one_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = create(name).fit(*TRAIN)
    whole = method.predict_scores(QUERIES)
    monkeypatch.setattr(base, "BLOCK", 7)
    np.testing.assert_allclose(method.predict_scores(QUERIES), whole, rtol=1e-4, atol=1e-5)


@every
def test_the_unit_of_the_features_changes_nothing(name: str) -> None:
    # by a power of 2 numbers are multiplied without rounding: only thresholds in the unit of the features could differ
    unit = np.float32(2.0**-50)
    found = scores(name, (TRAIN[0] * unit, TRAIN[1]), QUERIES * unit)
    np.testing.assert_allclose(found, scores(name), rtol=1e-5, atol=1e-6)


@every
def test_memory_mapped_features_are_as_good_and_left_as_they_are(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", TRAIN[0])
    np.save(tmp_path / "queries.npy", QUERIES)
    mapped, queries = (np.load(tmp_path / f"{each}.npy", mmap_mode="r") for each in ("features", "queries"))
    targets = TRAIN[1].copy()
    np.testing.assert_allclose(scores(name, (mapped, targets), queries), scores(name), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.load(tmp_path / "features.npy"), TRAIN[0])
    np.testing.assert_array_equal(targets, TRAIN[1])


@every
def test_it_beats_the_label_prior_on_scenes(name: str, scenes: tuple[Data, Data]) -> None:
    train, (features, targets) = scenes
    prior = np.broadcast_to(train[1].mean(0), targets.shape)
    found = create(name).fit(*train).predict_scores(features)
    known, ours = (metrics.evaluate(each, targets, k=4) for each in (prior, found))
    assert ours["map"] > known["map"] + 0.02
    assert ours["map_at_10"] > known["map_at_10"]


@every
def test_it_finds_the_labels_of_images_like_those_it_knows(name: str) -> None:
    queries, targets = made_up(100, 5)
    assert metrics.evaluate(scores(name, made_up(150, 4), queries), targets, k=2)["map"] > 0.8


@every
def test_a_label_without_a_training_image_is_never_the_best(name: str) -> None:
    targets = TRAIN[1].copy()
    targets[:, 2] = 0
    found = scores(name, (TRAIN[0], targets))
    assert np.isfinite(found).all()
    assert (found.argmax(1) != 2).all()


@every
def test_one_training_image_is_enough_for_finite_scores(name: str) -> None:
    assert np.isfinite(scores(name, (TRAIN[0][:1], TRAIN[1][:1]))).all()


@every
def test_features_that_are_all_the_same_give_every_image_the_same_scores(name: str) -> None:
    found = scores(name, (np.ones_like(TRAIN[0]), TRAIN[1]), np.ones_like(QUERIES))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), rtol=1e-4, atol=1e-5)


@every
def test_more_neighbours_than_training_images_are_all_of_them(name: str) -> None:
    if "k" not in create(name).get_params():
        pytest.skip("has no neighbours")
    most = create(name, k=10 * IMAGES).fit(*TRAIN).predict_scores(QUERIES)
    np.testing.assert_allclose(create(name, k=IMAGES).fit(*TRAIN).predict_scores(QUERIES), most, rtol=1e-5, atol=1e-6)


def changed(features: NDArray[np.float32], row: int, value: float) -> NDArray[np.float32]:
    copy = features.copy()
    copy[row, 1] = value
    return copy


FEATURES, TARGETS = TRAIN
WRONG = {
    "features that are NaN": (changed(FEATURES, 3, np.nan), TARGETS, DatasetError, "row 3"),
    "features that are infinite": (changed(FEATURES, 7, np.inf), TARGETS, DatasetError, "row 7"),
    "no table": (FEATURES[0], TARGETS, UsageError, "not of shape"),
    "whole numbers": (FEATURES.astype(np.int64), TARGETS, UsageError, "floating-point"),
    "no image": (FEATURES[:0], TARGETS[:0], DatasetError, "hold nothing"),
    "no features": (FEATURES[:, :0], TARGETS, DatasetError, "hold nothing"),
    "other images": (FEATURES, TARGETS[1:], UsageError, "for 60 images"),
    "no labels": (FEATURES, TARGETS[:, :0], DatasetError, "no label to learn"),
    "no positive label": (FEATURES, np.zeros_like(TARGETS), DatasetError, "no training image has a label"),
    "no truth": (FEATURES, TARGETS + 1, DatasetError, "0 or 1"),
}


class Checked(Method):
    """A method that must never be reached by what the base class refuses."""

    def _fit(self, features_ND: NDArray[np.float32], targets_NL: NDArray[np.uint8]) -> None:
        assert targets_NL is TARGETS

    def _scores(self, features_BD: NDArray[np.float32]) -> NDArray[np.floating]:
        return features_BD[:, :COUNT]


@every
def test_its_input_is_checked_by_the_base_class(name: str) -> None:
    kind = type(create(name))
    assert (kind.fit, kind.predict_scores) == (Method.fit, Method.predict_scores)


@pytest.mark.parametrize("what", WRONG)
def test_wrong_training_data_is_refused_with_one_line(what: str) -> None:
    features, targets, error, text = WRONG[what]
    with pytest.raises(error, match=text) as found:
        Checked().fit(features, targets)
    assert "\n" not in str(found.value)


def test_wrong_queries_are_refused() -> None:
    with pytest.raises(UsageError, match="was not fitted"):
        Checked().predict_scores(QUERIES)
    method = Checked().fit(FEATURES, TARGETS)
    with pytest.raises(UsageError, match="features of another model: 11 numbers an image, fitted to 12"):
        method.predict_scores(QUERIES[:, 1:])
    with pytest.raises(DatasetError, match="row 4"):
        method.predict_scores(changed(QUERIES, 4, np.nan))


def test_a_name_that_is_none_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no method 'knm'; did you mean 'knn'"):
        create("knm")
