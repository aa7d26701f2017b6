import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics import reference

from aaam_pipeline import metrics

# few values, so that ties are the rule
COARSE = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
FINE = st.floats(-5, 5, width=32)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[list[float]], list[list[int]], int]:
    images, labels = draw(st.integers(1, 7)), draw(st.integers(1, 14))
    value = draw(st.sampled_from([COARSE, FINE]))

    def table(cell: st.SearchStrategy) -> list:
        return draw(st.lists(st.lists(cell, min_size=labels, max_size=labels), min_size=images, max_size=images))

    return table(value), table(st.sampled_from([0, 0, 1])), draw(st.integers(1, labels + 2))


@settings(deadline=None, max_examples=150)
@given(cases())
def test_all_metrics_equal_the_plain_reference(case: tuple[list[list[float]], list[list[int]], int]) -> None:
    scores, targets, k = case
    expected = reference.evaluate(scores, targets, k)
    measured = metrics.evaluate(np.array(scores, dtype=np.float32), np.array(targets), k)
    assert measured.keys() == expected.keys()
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, abs=1e-12), name


SCORES = np.array([[0.9, 0.8, 0.1, 0.3], [0.2, 0.7, 0.6, 0.6], [0.5, 0.4, 0.3, 0.2]])
TARGETS = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 1, 0]])


def test_a_3_by_4_example_by_hand() -> None:
    # assigned with k = 2: image 0 {0, 1}, image 1 {1, 2} (2 before 3: a tie), image 2 {0, 1}
    table = metrics.per_label(SCORES, TARGETS, 2)
    assert table["positives"].tolist() == [1, 1, 2, 1]
    assert table["assigned"].tolist() == [2, 3, 1, 0]
    assert table["precision"].tolist() == [1 / 2, 1 / 3, 1, 0]
    assert table["recall"].tolist() == [1, 1, 1 / 2, 0]
    # label 1 ranks the images 0, 1, 2: its only positive is second; label 3 ranks 1, 0, 2: likewise
    np.testing.assert_allclose(table["ap"], [1, 1 / 2, 1, 1 / 2])
    found = metrics.evaluate(SCORES, TARGETS, 2)
    assert found["precision_at_k"] == pytest.approx((1 / 2 + 1 / 3 + 1 + 0) / 4)
    assert found["recall_at_k"] == pytest.approx(2.5 / 4)
    assert found["map"] == pytest.approx(3 / 4)
    assert found["n_plus"] == 3
    assert found["precision_at_k_per_image"] == pytest.approx((1 / 2 + 2 / 2 + 0) / 3)
    assert found["recall_at_k_per_image"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    # rankings 0 1 3 2, 1 2 3 0 and 0 1 2 3 of the labels
    assert found["map_at_10"] == pytest.approx(((1 + 2 / 3) / 2 + 1 + 1 / 3) / 3)


def test_ties_go_to_the_earlier_label_and_to_the_earlier_image() -> None:
    flat = np.full((3, 4), 0.5)
    first_label = np.zeros((3, 4), dtype=int)
    first_label[:, 0] = 1
    assert metrics.evaluate(flat, first_label, 1)["recall_at_k"] == 1
    assert metrics.evaluate(flat, first_label[:, ::-1], 1)["recall_at_k"] == 0
    first_image = np.zeros((3, 4), dtype=int)
    first_image[0] = 1
    assert metrics.evaluate(flat, first_image, 1)["map"] == 1
    assert metrics.evaluate(flat, first_image[::-1], 1)["map"] == pytest.approx(1 / 3)


def test_a_label_without_an_image_is_left_out_of_the_averages() -> None:
    with_unseen = np.hstack([TARGETS, np.zeros((3, 1), dtype=int)])
    worst = np.hstack([SCORES, np.full((3, 1), -1.0)])
    for name in ("precision_at_k", "recall_at_k", "map", "n_plus"):
        assert metrics.evaluate(worst, with_unseen, 2)[name] == metrics.evaluate(SCORES, TARGETS, 2)[name]


def test_an_image_without_labels_counts_only_for_precision() -> None:
    found = metrics.evaluate(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([[1, 0], [0, 0]]), 1)
    assert found["precision_at_k"] == found["precision_at_k_per_image"] == 0.5
    assert found["recall_at_k_per_image"] == found["map_at_10"] == 1


def test_no_labels_at_all_give_zeros() -> None:
    assert set(metrics.evaluate(SCORES, np.zeros_like(TARGETS), 2).values()) == {0}


def test_k_above_the_number_of_labels_assigns_them_all() -> None:
    found = metrics.evaluate(SCORES, TARGETS, 9)
    assert found["recall_at_k"] == 1
    assert found == metrics.evaluate(SCORES, TARGETS, 4)


@pytest.mark.parametrize(("labels_of_image", "expected"), [(12, 1.0), (3, 1.0), (1, 1.0)])
def test_map_at_10_can_reach_1_for_any_number_of_labels(labels_of_image: int, expected: float) -> None:
    scores = np.linspace(1, 0, 20)[None]
    targets = (np.arange(20) < labels_of_image).astype(int)[None]
    assert metrics.evaluate(scores, targets, 5)["map_at_10"] == expected


def test_map_at_10_does_not_look_below_rank_10() -> None:
    scores = np.linspace(1, 0, 20)[None]
    for position, expected in ((9, 1 / 10), (10, 0.0)):
        targets = (np.arange(20) == position).astype(int)[None]
        assert metrics.evaluate(scores, targets, 5)["map_at_10"] == pytest.approx(expected)


def test_only_the_order_of_scores_matters() -> None:
    assert metrics.evaluate(SCORES * 100 - 50, TARGETS, 2) == metrics.evaluate(SCORES, TARGETS, 2)


@pytest.mark.parametrize(
    ("scores", "targets", "k", "said"),
    [
        (SCORES, TARGETS, 0, "k must be at least 1"),
        (SCORES, TARGETS[:2], 2, "must be equal"),
        (SCORES[0], TARGETS[0], 2, "must be equal"),
        (np.where(SCORES > 0.8, np.nan, SCORES), TARGETS, 2, "not numbers"),
    ],
)
def test_unfit_input_is_refused(scores: np.ndarray, targets: np.ndarray, k: int, said: str) -> None:
    for call in (metrics.evaluate, metrics.per_label):
        with pytest.raises(ValueError, match=said):
            call(scores, targets, k)
