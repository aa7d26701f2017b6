from pathlib import Path

import numpy as np
import pytest
import torch

from aaam_pipeline.baselines import create
from aaam_pipeline.baselines.combined import Combined, Head
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.models import bundle

FEATURES = np.array([[1.0, 0], [0.8, 0.6], [-1, 0], [0, -1]], np.float32)
TARGETS = np.array([[1, 0], [0, 1], [1, 1], [0, 1]], np.uint8)
QUERY = np.array([[2.0, 0]], np.float32)


def test_evidence_is_that_worked_out_by_hand() -> None:
    # cosines of the query: 1, 0.8, -1 (counts 0), 0
    method = Combined(base="knn", base_params={"k": 1}, k=4, weight=0.5).fit(FEATURES, TARGETS)
    np.testing.assert_allclose(method.evidence(QUERY), [[1 / 1.8, 0.8 / 1.8]], atol=1e-6)
    # the base: the nearest image's labels, (1, 0)
    np.testing.assert_allclose(method.predict_scores(QUERY), [[0.5 + 0.5 / 1.8, 0.4 / 1.8]], atol=1e-6)
    nearest = Combined(base="knn", base_params={"k": 1}, k=2, weight=1.0).fit(FEATURES, TARGETS)
    np.testing.assert_allclose(nearest.predict_scores(QUERY), [[1 / 1.8, 0.8 / 1.8]], atol=1e-6)


def test_without_weight_it_is_the_base() -> None:
    alone = create("knn", k=2).fit(FEATURES, TARGETS).predict_scores(FEATURES)
    method = Combined(base="knn", base_params={"k": 2}, weight=0.0).fit(FEATURES, TARGETS)
    np.testing.assert_allclose(method.predict_scores(FEATURES), alone, atol=1e-7)


def test_an_image_without_a_likeness_has_no_evidence() -> None:
    method = Combined(base="knn", base_params={"k": 2}).fit(FEATURES[:1], TARGETS[:1])
    np.testing.assert_array_equal(method.evidence(np.array([[-1.0, 0]], np.float32)), np.zeros((1, 2)))


def test_a_bundle_s_last_layer_gives_the_scores_of_the_bundle(tiny_bundle: Path) -> None:
    loaded = bundle.load(tiny_bundle, torch.device("cpu"))
    size = loaded.info.preprocess.size
    scores, embedding = loaded.network.predict(torch.randn(5, 3, size, size))
    targets = np.eye(5, scores.shape[1], dtype=np.uint8)
    head = Head(model=str(tiny_bundle)).fit(embedding.numpy(), targets)
    np.testing.assert_allclose(head.predict_scores(embedding.numpy()), scores.numpy(), atol=1e-5)
    combined = Combined(model=str(tiny_bundle), k=1, weight=0.25).fit(embedding.numpy(), targets)
    # each image is its own nearest
    np.testing.assert_allclose(
        combined.predict_scores(embedding.numpy()), 0.75 * scores.numpy() + 0.25 * targets, atol=1e-5
    )
    with pytest.raises(UsageError, match=r"compute them with this bundle"):
        Head(model=str(tiny_bundle)).fit(embedding.numpy()[:, 1:], targets)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"weight": 1.5}, "weight from 0 to 1"),
        ({"base": "combined"}, "another method"),
        ({"model": "nowhere"}, "nowhere"),
    ],
)
def test_bad_settings_are_one_clear_line(params: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Combined(**params).fit(FEATURES, TARGETS)  # type: ignore[arg-type]


def test_a_base_without_probabilities_is_refused() -> None:
    with pytest.raises(UsageError, match="no probabilities"):
        Combined(base="svm", k=2).fit(FEATURES, TARGETS).predict_scores(FEATURES)
