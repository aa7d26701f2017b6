"""BCE and WARP over features, with answers worked out by hand."""

import numpy as np
import pytest
import torch

from aaam_pipeline.baselines import create
from aaam_pipeline.core.errors import TrainingError, UsageError

SIDES = np.array([[-1], [1]] * 20, np.float32)
KINDS = np.array([[1, 0], [0, 1]] * 20, np.uint8)


def test_bce_without_evidence_is_the_prior() -> None:
    features, targets = np.ones((40, 2), np.float32), np.array([[1, 0]] * 30 + [[0, 1]] * 10, np.uint8)
    found = create("bce").fit(features, targets).predict_scores(features[:1])
    np.testing.assert_allclose(found, [[0.75, 0.25]], atol=0.05)


@pytest.mark.parametrize("name", ["bce", "warp"])
def test_two_sides_are_told_apart(name: str) -> None:
    left, right = create(name, epochs=40, batch_size=8, hidden=16, lr=0.02).fit(SIDES, KINDS).predict_scores(SIDES[:2])
    assert left[0] - left[1] > 1 if name == "warp" else left[0] > 0.9 > 0.1 > left[1]
    assert right[1] - right[0] > 1 if name == "warp" else right[1] > 0.9 > 0.1 > right[0]


def test_another_seed_gives_other_weights_and_no_one_elses_numbers_change() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    one, other = (create("bce", seed=seed).fit(SIDES, KINDS).predict_scores(SIDES) for seed in (1, 2))
    assert torch.equal(torch.rand(3), wanted)
    assert (one != other).any()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="epochs"):
        create("bce", epochs=0).fit(SIDES, KINDS)
    with pytest.raises(TrainingError, match="smaller lr"):
        create("warp", lr=1e30).fit(SIDES, KINDS)
