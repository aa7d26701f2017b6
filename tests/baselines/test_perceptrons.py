"""BCE and WARP over features: the sampled WARP loss against its expectation, and answers worked out by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from aaam_pipeline.baselines import create
from aaam_pipeline.baselines.warp import warp_loss
from aaam_pipeline.core.errors import TrainingError, UsageError

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.2, -3.0, 1.4], [0.0, 3.0, -2.0, 0.1, 0.4, -0.3]])
TARGETS = torch.tensor([[1.0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0, 1]])
SIDES = np.array([[-1], [1]] * 20, np.float32)
KINDS = np.array([[1, 0], [0, 1]] * 20, np.uint8)


def harmonic(rank: int) -> float:
    return sum(1 / each for each in range(1, rank + 1))


def expected(logits_BL: Tensor, targets_BL: Tensor, margin: float) -> float:
    """Sum over how many draws it may take, of labels that are put back."""
    total = 0.0
    for scores, truth in zip(logits_BL.tolist(), targets_BL.tolist(), strict=True):
        irrelevant = [label for label, there in enumerate(truth) if not there]
        for p in (label for label, there in enumerate(truth) if there):
            hinges = [hinge for n in irrelevant if (hinge := margin - scores[p] + scores[n]) > 0]
            if hinges:
                chance = len(hinges) / len(irrelevant)
                weights = [
                    chance * (1 - chance) ** (draw - 1) * harmonic(len(irrelevant) // draw)
                    for draw in range(1, len(irrelevant) + 1)
                ]
                total += sum(weights) * sum(hinges) / len(hinges)
    return total / len(logits_BL)


@pytest.mark.parametrize("margin", [0.1, 1.0, 4.0])
def test_the_sampled_loss_averages_to_its_expectation(margin: float) -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.stack([warp_loss(LOGITS, TARGETS, margin, generator) for _ in range(4000)])
    error = float(samples.std()) / len(samples) ** 0.5
    assert float(samples.mean()) == pytest.approx(expected(LOGITS, TARGETS, margin), abs=4 * error + 1e-6)


@pytest.mark.parametrize(
    ("logits", "targets", "wanted"),
    [
        # of two labels the wrong one is ahead by 2: found at once, rank 1, 1 + 2
        ([[0.0, 2.0]], [[1, 0]], 3.0),
        # ahead by more than the margin: nothing
        ([[2.0, 0.0]], [[1, 0]], 0.0),
        # all three wrong ones violate it alike: rank 3, (1 + 1/2 + 1/3) (1 + 0)
        ([[0.0, 0.0, 0.0, 0.0]], [[1, 0, 0, 0]], 11 / 6),
        # no label is irrelevant, or none relevant
        ([[0.0, 2.0]], [[1, 1]], 0.0),
        ([[0.0, 2.0]], [[0, 0]], 0.0),
    ],
)
def test_warp_losses_that_leave_nothing_to_chance(
    logits: list[list[float]], targets: list[list[int]], wanted: float
) -> None:
    logits_BL = torch.tensor(logits, requires_grad=True)
    loss = warp_loss(logits_BL, torch.tensor(targets, dtype=torch.float32), 1.0, torch.Generator().manual_seed(1))
    loss.backward()
    assert loss.item() == pytest.approx(wanted)
    assert logits_BL.grad is not None
    assert bool(logits_BL.grad.isfinite().all())


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
