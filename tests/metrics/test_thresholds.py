import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics import reference

from aaam_pipeline.metrics import choose_thresholds

scored = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.4, 0.5, 0.75, 0.9, 1.0]), st.sampled_from([0, 1])),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=300)
@given(scored)
def test_no_threshold_has_a_better_f1(pairs: list[tuple[float, int]]) -> None:
    scores, targets = [score for score, _ in pairs], [target for _, target in pairs]
    threshold = float(choose_thresholds(np.array(scores)[:, None], np.array(targets)[:, None])[0])
    candidates = [*scores, 2.0]
    best = max(reference.f1(scores, targets, each) for each in candidates)
    if not any(targets):
        assert threshold == 0.5
    else:
        assert reference.f1(scores, targets, threshold) == pytest.approx(best)
        higher = [each for each in candidates if each > threshold and reference.f1(scores, targets, each) == best]
        same = {tuple(score >= each for score in scores) for each in higher}
        assert same <= {tuple(score >= threshold for score in scores)}, "of equal F1 the higher threshold wins"


def test_a_threshold_lies_half_way_between_in_and_out() -> None:
    scores = np.array([[0.9], [0.8], [0.3], [0.1]])
    assert choose_thresholds(scores, np.array([[1], [1], [0], [0]]))[0] == pytest.approx(0.55)


def test_a_label_on_every_image_is_assigned_from_half_its_lowest_score() -> None:
    assert choose_thresholds(np.array([[0.9], [0.4]]), np.array([[1], [1]]))[0] == pytest.approx(0.2)


def test_every_label_has_its_own_threshold_unless_the_common_one_is_higher() -> None:
    rng = np.random.default_rng(0)
    scores, targets = rng.random((90, 6)), rng.random((90, 6)) < 0.3
    # three labels are told apart at different scores, three hardly at all
    scores[:, :3] = np.where(targets[:, :3], scores[:, :3] + [0.3, 0.6, 1.2], scores[:, :3] * [0.3, 0.8, 1.4])
    assert targets.sum(0).min() >= 10
    alone = [choose_thresholds(scores[:, [label]], targets[:, [label]])[0] for label in range(6)]
    common = choose_thresholds(scores.reshape(-1, 1), targets.reshape(-1, 1))[0]
    assert min(alone) < common < max(alone)
    assert choose_thresholds(scores, targets).tolist() == [max(own, common) for own in alone]


def test_a_rare_label_gets_the_threshold_that_is_best_over_all() -> None:
    rng = np.random.default_rng(0)
    targets = rng.random((200, 4)) < [0.4, 0.3, 0, 0]
    scores = np.where(targets, rng.uniform(0.5, 1, targets.shape), rng.uniform(0, 0.4, targets.shape))
    # its only image lies below hundreds of others: a threshold of its own would assign it to all of them
    scores[7, 2], targets[7, 2] = 0.001, True
    scores[:, 2] += 0.0005
    # and this one far above all others: a threshold of its own would miss the next
    scores[7, 3], targets[7, 3] = 0.999, True
    alone = [choose_thresholds(scores[:, [label]], targets[:, [label]])[0] for label in (2, 3)]
    common = choose_thresholds(scores.reshape(-1, 1), targets.reshape(-1, 1))[0]
    assert alone[0] < 0.01
    assert 0.4 < common < alone[1]
    assert choose_thresholds(scores, targets)[2:].tolist() == [common, common]
