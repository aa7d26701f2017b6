import numpy as np
import pytest
import torch

from aaam_pipeline.baselines import cnn_rnn
from aaam_pipeline.baselines.cnn_rnn import IGNORED, CnnRnn, Recurrent, by_frequency, sequences
from aaam_pipeline.core.errors import UsageError

SMALL = {"embedding": 16, "hidden": 32, "dropout": 0.0, "lr": 2e-2, "epochs": 30, "batch_size": 8}


def test_labels_are_named_by_falling_frequency_and_then_the_end() -> None:
    # label 2 is on three images, 0 and 1 on two each
    targets = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 0]], np.uint8)
    expected = [[2, 0, 1, 3], [2, 1, 3, IGNORED], [2, 0, 3, IGNORED], [3, IGNORED, IGNORED, IGNORED]]
    np.testing.assert_array_equal(sequences(targets, by_frequency(targets)), expected)


def test_step_by_step_gives_the_logits_of_the_whole_sequence() -> None:
    torch.manual_seed(1)
    network = Recurrent(dimension=5, labels=4, embedding=6, hidden=7, dropout=0.5).eval()
    features, sequence = torch.randn(3, 5), torch.tensor([[2, 0, 1], [1, 3, 0], [0, 1, 2]])
    whole = network(features, sequence)
    state, last = network.start(features), torch.full((3,), 4)
    for position in range(4):
        logits, state = network.step(state, last)
        torch.testing.assert_close(logits, whole[:, position])
        last = sequence[:, min(position, 2)]


def test_it_learns_a_rule_between_labels_that_is_known() -> None:
    # feature 0 decides: label 0 alone, or labels 1 and 2 together; label 3 never
    features = np.random.default_rng(1).normal(size=(64, 3)).astype(np.float32)
    features[:, 0] = np.where(np.arange(64) % 2, 2, -2)
    first = features[:, 0] > 0
    targets = np.stack([first, ~first, ~first, np.zeros(64)], axis=1).astype(np.uint8)
    method = CnnRnn(**SMALL).fit(features, targets)  # type: ignore[arg-type]
    scores = method.predict_scores(features)
    np.testing.assert_allclose(scores, targets, atol=0.05)
    best = method.search(features[:2]).labels_BWT[:, 0]
    # 1 and 2 are equally frequent: the earlier is named first
    assert best.tolist() == [[1, 2], [0, -1]]


def test_a_seed_gives_the_same_scores_and_leaves_the_global_one_alone() -> None:
    chance = np.random.default_rng(2)
    features = chance.normal(size=(20, 3)).astype(np.float32)
    targets = (chance.uniform(size=(20, 4)) > 0.6).astype(np.uint8)
    settings = SMALL | {"epochs": 2, "dropout": 0.5}
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = CnnRnn(**settings).fit(features, targets).predict_scores(features)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(CnnRnn(**settings).fit(features, targets).predict_scores(features), one)  # type: ignore[arg-type]
    other = CnnRnn(**settings, seed=1).fit(features, targets).predict_scores(features)  # type: ignore[arg-type]
    assert np.abs(other - one).max() > 1e-3


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(3).normal(size=(9, 3)).astype(np.float32)
    method = CnnRnn(**SMALL | {"epochs": 1}).fit(features, (features > 0).astype(np.uint8))  # type: ignore[arg-type]
    whole = method.predict_scores(features)
    monkeypatch.setattr(cnn_rnn, "TOGETHER", 4)
    np.testing.assert_allclose(method.predict_scores(features), whole, atol=1e-6)
    assert method.predict_scores(features[:0]).shape == (0, 3)


@pytest.mark.parametrize("params", [{"width": 0}, {"epochs": 0}, {"hidden": 0}, {"dropout": 1.0}, {"lr": 0.0}])
def test_bad_settings_are_one_clear_line(params: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"at least 1|are needed"):
        CnnRnn(**params).fit(np.ones((2, 2), np.float32), np.eye(2, dtype=np.uint8))  # type: ignore[arg-type]
