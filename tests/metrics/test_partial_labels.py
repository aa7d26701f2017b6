"""Labels that are unknown (-1): every metric is that of the known pairs alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.formats.calibration import logit, sigmoid
from aaam_pipeline.metrics.annotation import top_k

Table = NDArray[Any]


def table(seed: int, images: int = 12, labels: int = 7) -> tuple[Table, Table]:
    """Return scores in (0, 1), some of them equal, and targets of which some are unknown."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(1, 20, (images, labels)) / 20
    targets = rng.choice([1, 0, -1], (images, labels), p=[0.3, 0.4, 0.3]).astype(np.int8)
    return scores, targets


def lines(scores: Table, targets: Table) -> Table:
    line = metrics.fit_calibration(scores, targets)
    return np.array([line.slopes, line.biases])


def all_of(scores: Table, targets: Table) -> dict[str, Any]:
    """Return everything that is measured or chosen of scores and targets."""
    found: dict[str, Any] = dict(metrics.evaluate(scores, targets, 3)) | metrics.per_label(scores, targets, 3)
    # of a query of several labels an image can be known to be irrelevant by one of them, and be ranked by all
    found["retrieval"] = metrics.retrieval_map(scores, targets, 1)
    found |= metrics.reliability(scores, targets)._asdict()
    found["ece"] = metrics.calibration_error(scores, targets), metrics.label_calibration_error(scores, targets)
    found["line"] = lines(scores, targets)
    found["thresholds"] = metrics.choose_thresholds(scores, targets)
    return found


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(2, 12), st.integers(1, 7))
def test_the_scores_of_unknown_pairs_change_nothing(seed: int, images: int, labels: int) -> None:
    scores, targets = table(seed, images, labels)
    other = np.where(targets < 0, np.random.default_rng(seed).random(scores.shape), scores)
    expected, found = all_of(scores, targets), all_of(other, targets)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, err_msg=name, equal_nan=True)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32))
def test_a_label_is_measured_on_the_images_of_which_it_is_known(seed: int) -> None:
    scores, targets = table(seed)
    ap = metrics.average_precision(scores, targets)
    queries = dict(zip(metrics.label_sets(targets, 1)[:, 0].tolist(), metrics.query_ap(
        scores, targets, metrics.label_sets(targets, 1)).tolist(), strict=True))  # fmt: skip
    for label in range(targets.shape[1]):
        rows = targets[:, label] >= 0
        alone = scores[rows][:, [label]], targets[rows][:, [label]]
        assert ap[label] == pytest.approx(metrics.average_precision(*alone)[0])
        if label in queries:
            assert queries[label] == pytest.approx(metrics.query_ap(*alone, np.array([[0]]))[0])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_an_image_is_measured_on_the_labels_that_are_known_of_it(seed: int, k: int) -> None:
    scores, targets = table(seed)
    assigned = top_k(scores, k, targets >= 0)
    shares = []
    for row, known in enumerate(targets >= 0):
        chosen = np.zeros(len(known), bool)
        if known.any():
            chosen[known] = top_k(scores[[row]][:, known], k)[0]
            shares.append((targets[row, chosen] > 0).mean())
        np.testing.assert_array_equal(assigned[row], chosen)
    assert metrics.evaluate(scores, targets, k)["precision_at_k_per_image"] == pytest.approx(np.mean(shares))


def test_a_query_ranks_the_images_that_are_known_to_fit_or_not() -> None:
    # image 1 has the first label, and nobody knows about the second; image 2 lacks one of both: that is enough
    targets = np.array([[1, 1], [1, -1], [-1, 0], [1, 1]])
    scores = np.array([[0.5, 0.5], [1, 1], [0.9, 0.9], [0.1, 0.1]])
    assert metrics.query_ap(scores, targets, np.array([[0, 1]])).tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2])
    found = metrics.pair_queries(scores, targets, 2)
    assert (found.relevant_P.tolist(), found.precision_P.tolist()) == ([2], [0.5])
    # known or not: the first label is missing in no image, so that any ranking answers it
    assert metrics.label_sets(targets, 1).tolist() == [[1]]


def test_means_leave_out_labels_that_no_ranking_can_miss() -> None:
    targets = np.array([[1, 1, 1, 0], [-1, 0, 1, -1], [1, 0, 1, 0]])
    assert metrics.judged(targets).tolist() == [False, True, True, False]
    scores = np.array([[0.9, 0.1, 0.5, 0.5], [0.9, 0.2, 0.4, 0.5], [0.9, 0.3, 0.3, 0.5]])
    assert metrics.evaluate(scores, targets, 2)["map"] == pytest.approx((1 / 3 + 1) / 2)


def test_where_nothing_is_known_nothing_fails() -> None:
    scores, targets = table(1)
    found = all_of(scores, np.full_like(targets, -1))
    assert found["map"] == found["n_plus"] == found["precision_at_k_per_image"] == 0
    assert found["ece"] == (0, 0)
    np.testing.assert_allclose(found["line"], [[1] * 7, [0] * 7], atol=1e-6)


def test_thresholds_and_lines_are_those_of_the_known_images() -> None:
    rng = np.random.default_rng(3)
    scores, unknown = rng.random((400, 1)), rng.random((400, 1)) < 0.5
    # what is unknown is all yes: as an answer it would change both
    truth = np.where(unknown, 1, rng.random((400, 1)) < sigmoid(2 * logit(scores)))
    targets, rows = np.where(unknown, -1, truth), ~unknown[:, 0]
    assert metrics.choose_thresholds(scores, targets) == metrics.choose_thresholds(scores[rows], targets[rows])
    assert metrics.choose_thresholds(scores, targets) != metrics.choose_thresholds(scores, truth)
    np.testing.assert_allclose(lines(scores, targets), lines(scores[rows], targets[rows]), rtol=1e-6)
