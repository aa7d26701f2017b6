"""The sampled WARP loss against its expectation, and answers worked out by hand."""

import pytest
import torch
from torch import Tensor

from aaam_pipeline.models.warp import warp_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.2, -3.0, 1.4], [0.0, 3.0, -2.0, 0.1, 0.4, -0.3]])
TARGETS = torch.tensor([[1.0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0, 1]])


def harmonic(rank: int) -> float:
    return sum(1 / each for each in range(1, rank + 1))


def expected(logits_BL: Tensor, targets_BL: Tensor, margin: float) -> float:
    """Sum over how many draws it may take, of labels that are put back."""
    total = 0.0
    for scores, truth in zip(logits_BL.tolist(), targets_BL.tolist(), strict=True):
        irrelevant = [label for label, there in enumerate(truth) if there == 0]
        for p in (label for label, there in enumerate(truth) if there > 0):
            hinges = [hinge for n in irrelevant if (hinge := margin - scores[p] + scores[n]) > 0]
            if hinges:
                chance = len(hinges) / len(irrelevant)
                weights = [
                    chance * (1 - chance) ** (draw - 1) * harmonic(len(irrelevant) // draw)
                    for draw in range(1, len(irrelevant) + 1)
                ]
                total += sum(weights) * sum(hinges) / len(hinges)
    return total / len(logits_BL)


def test_an_unknown_label_has_no_part_in_it() -> None:
    unknown = torch.tensor([[1.0, 1, 0, -1, 0, -1], [-1, 1, 0, -1, 0, 1]])
    logits = LOGITS.clone().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    samples = torch.stack([warp_loss(logits, unknown, 1.0, generator) for _ in range(2000)])
    error = float(samples.detach().std()) / len(samples) ** 0.5
    assert float(samples.detach().mean()) == pytest.approx(expected(LOGITS, unknown, 1.0), abs=4 * error + 1e-6)
    samples.sum().backward()
    assert logits.grad is not None
    assert not logits.grad[unknown < 0].any()


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


def test_its_gradient_is_that_of_finite_differences() -> None:
    logits = LOGITS.double().requires_grad_()

    def loss(values: Tensor) -> Tensor:
        return warp_loss(values, TARGETS.double(), 1.0, torch.Generator().manual_seed(5))

    assert torch.autograd.gradcheck(loss, (logits,), eps=1e-7, atol=1e-5)


def test_labels_in_the_right_order_and_far_apart_cost_nothing() -> None:
    assert float(warp_loss(10 * TARGETS, TARGETS, 1.0, torch.Generator())) == 0


@pytest.mark.parametrize("targets", [torch.zeros(2, 3), torch.ones(2, 3)])
def test_images_with_no_label_or_with_all_cost_nothing_and_have_a_gradient(targets: Tensor) -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = warp_loss(logits, targets, 1.0, torch.Generator())
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros(2, 3))
