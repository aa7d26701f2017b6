"""The WARP loss against its expectation, computed by trying every order of the irrelevant labels."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from aaam_pipeline.training.losses import warp


def expected(logits_BL: Tensor, targets_BL: Tensor, margin: float) -> float:
    """Average the loss over all orders in which irrelevant labels may be tried."""
    total = 0.0
    for scores, truth in zip(logits_BL.tolist(), targets_BL.tolist(), strict=True):
        negatives = [label for label, there in enumerate(truth) if not there]
        for p in (label for label, there in enumerate(truth) if there):
            losses = []
            for order in permutations(negatives):
                hinges = [margin - scores[p] + scores[n] for n in order]
                tried = next((number for number, hinge in enumerate(hinges) if hinge > 0), None)
                if tried is None:
                    losses.append(0.0)
                    continue
                rank = len(negatives) // (tried + 1)
                losses.append(sum(1 / r for r in range(1, rank + 1)) * hinges[tried])
            total += sum(losses) / len(losses) if losses else 0.0
    return total / len(logits_BL)


LOGITS = torch.tensor([[2.0, -1.0, 0.5, 0.2, -3.0, 1.4], [0.0, 3.0, -2.0, 0.1, 0.4, -0.3]])
TARGETS = torch.tensor([[1.0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0, 1]])


@pytest.mark.parametrize("margin", [0.1, 1.0, 4.0])
def test_the_sampled_loss_averages_to_its_expectation(margin: float) -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.stack([warp(LOGITS, TARGETS, margin, generator) for _ in range(4000)])
    error = float(samples.std()) / len(samples) ** 0.5
    assert float(samples.mean()) == pytest.approx(expected(LOGITS, TARGETS, margin), abs=4 * error + 1e-6)


def test_its_gradient_is_that_of_finite_differences() -> None:
    logits = LOGITS.double().requires_grad_()

    def loss(values: Tensor) -> Tensor:
        return warp(values, TARGETS.double(), 1.0, torch.Generator().manual_seed(5))

    assert torch.autograd.gradcheck(loss, (logits,), eps=1e-7, atol=1e-5)


def test_labels_in_the_right_order_and_far_apart_cost_nothing() -> None:
    assert float(warp(10 * TARGETS, TARGETS, 1.0)) == 0


@pytest.mark.parametrize("targets", [torch.zeros(2, 3), torch.ones(2, 3)])
def test_images_with_no_label_or_with_all_cost_nothing_and_have_a_gradient(targets: Tensor) -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = warp(logits, targets, 1.0)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros(2, 3))


def test_a_relevant_label_far_down_weighs_more_than_one_near_the_top() -> None:
    # one label below three irrelevant ones by 1 each, against one below a single one by 1
    deep = warp(torch.tensor([[0.0, 1, 1, 1]]), torch.tensor([[1.0, 0, 0, 0]]), 1.0)
    near = warp(torch.tensor([[0.0, 1, -9, -9]]), torch.tensor([[1.0, 0, 0, 0]]), 1.0, torch.Generator().manual_seed(1))
    assert float(deep) == pytest.approx(2 * (1 + 1 / 2 + 1 / 3))
    assert float(near) <= float(deep)
