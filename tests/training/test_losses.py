import pytest
import torch
from torch import Tensor

from aaam_pipeline.training import losses

MARGIN = 0.2


def closed_form_gradient(probs_BL: Tensor, triplets_T4: Tensor, margin: float) -> Tensor:
    """Differentiate Eq. 4 by hand: (z_k - z_j) for i (Eq. 5), (z_j - z_i) for j, (z_i - z_k) for k, or 0."""
    gradient = torch.zeros_like(probs_BL)
    for row, i, j, k in triplets_T4.tolist():
        z_i, z_j, z_k = (probs_BL[row, label].item() for label in (i, j, k))
        if margin + (z_i - z_j) ** 2 - (z_i - z_k) ** 2 > 0:
            gradient[row, i] += z_k - z_j
            gradient[row, j] += z_j - z_i
            gradient[row, k] += z_i - z_k
    return gradient


def example() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    probs = torch.rand((5, 7), generator=generator, dtype=torch.float64)
    rows = torch.randint(0, 5, (40, 1), generator=generator)
    labels = torch.stack([torch.randperm(7, generator=generator)[:3] for _ in range(40)])
    return probs, torch.cat([rows, labels], dim=1)


def test_equation_4_by_hand() -> None:
    probs = torch.tensor([[0.9, 0.4, 0.6, 0.1]])
    # 1/2 * (0.2 + 0.5^2 - 0.3^2) and 1/2 * max(0, 0.2 + 0.3^2 - 0.8^2)
    triplets = torch.tensor([[0, 0, 1, 2], [0, 0, 2, 3]])
    assert losses.triplet_margin(probs, triplets[:1], MARGIN).item() == pytest.approx(0.18)
    assert losses.triplet_margin(probs, triplets[1:], MARGIN).item() == 0
    assert losses.triplet_margin(probs, triplets, MARGIN).item() == pytest.approx(0.09)
    assert losses.triplet_margin(probs, triplets, MARGIN, "sum").item() == pytest.approx(0.18)


def test_equation_5_closed_form_autograd_and_finite_differences_agree() -> None:
    probs, triplets = example()
    expected = closed_form_gradient(probs, triplets, MARGIN)
    assert (expected == 0).any()
    active = sum(
        MARGIN + (probs[r, i] - probs[r, j]) ** 2 - (probs[r, i] - probs[r, k]) ** 2 > 0
        for r, i, j, k in triplets.tolist()
    )
    assert 5 < int(active) < 40

    leaf = probs.clone().requires_grad_()
    losses.triplet_margin(leaf, triplets, MARGIN, "sum").backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, expected)

    step = 1e-6
    for index in range(probs.numel()):
        shift = torch.zeros(probs.numel(), dtype=torch.float64)
        shift[index] = step
        shift = shift.reshape(probs.shape)
        up, down = (losses.triplet_margin(probs + s, triplets, MARGIN, "sum") for s in (shift, -shift))
        assert float(up - down) / (2 * step) == pytest.approx(float(expected.flatten()[index]), abs=1e-7)


def test_the_mean_is_the_sum_over_the_number_of_triplets() -> None:
    probs, triplets = example()
    mean, total = (losses.triplet_margin(probs, triplets, MARGIN, how) for how in ("mean", "sum"))
    torch.testing.assert_close(mean * len(triplets), total)
    with pytest.raises(ValueError, match="reduction"):
        losses.triplet_margin(probs, triplets, MARGIN, "median")


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_triplets_give_0_with_a_gradient_of_0(reduction: str) -> None:
    probs = torch.rand(3, 4, requires_grad=True)
    loss = losses.triplet_margin(probs, torch.zeros((0, 4), dtype=torch.int64), MARGIN, reduction)
    loss.backward()
    assert loss.item() == 0
    assert probs.grad is not None
    assert torch.equal(probs.grad, torch.zeros(3, 4))


def test_equations_2_and_3_the_gradient_of_bce_is_probability_minus_truth() -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 2, (3, 5)).double()
    losses.bce(logits, targets).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad * 3, logits.detach().sigmoid() - targets)


def test_equation_1_is_summed_over_labels_and_averaged_over_images() -> None:
    logits = torch.zeros(3, 5)
    assert losses.bce(logits, torch.ones(3, 5)).item() == pytest.approx(5 * 0.693147, rel=1e-5)


def test_bce_stays_finite_for_extreme_logits() -> None:
    logits = torch.tensor([[1e4, -1e4]])
    assert losses.bce(logits, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(2e4)


def move(logits: Tensor, targets: Tensor, weight_of_bce: float) -> Tensor:
    """Return the change of the logits under one small step of gradient descent on weight * BCE + TM."""
    leaf = logits.clone().requires_grad_()
    triplets = torch.tensor([[0, 0, 1, 2]])
    loss = losses.triplet_margin(leaf.sigmoid(), triplets, MARGIN) + weight_of_bce * losses.bce(leaf, targets)
    loss.backward()
    assert leaf.grad is not None
    return -leaf.grad[0]


def test_watch_the_margin_alone_pushes_an_irrelevant_label_further_above_and_bce_brings_it_down() -> None:
    # i and j are relevant, k is irrelevant and scored above both: D_ik grows in either direction
    logits, targets = torch.tensor([[0.0, -0.5, 0.8]]), torch.tensor([[1.0, 1.0, 0.0]])
    margin_alone = move(logits, targets, weight_of_bce=0)
    assert margin_alone[2] > 0
    assert margin_alone[0] < 0
    with_bce = move(logits, targets, weight_of_bce=1)
    assert with_bce[2] < 0
    assert with_bce[0] > 0


def test_an_unknown_label_adds_nothing_to_equation_1() -> None:
    logits = torch.tensor([[0.5, -1.0, 3.0], [0.1, 0.2, -40.0]], requires_grad=True)
    targets = torch.tensor([[1.0, -1, 0], [-1, 0, -1]])
    loss = losses.bce(logits, targets)
    known = targets >= 0
    alone = torch.nn.functional.binary_cross_entropy_with_logits(logits[known], targets[known], reduction="sum")
    assert loss.item() == pytest.approx(alone.item() / 2)
    loss.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.where(known, logits.detach().sigmoid() - targets, 0) / 2)


def test_without_unknown_labels_equation_1_and_its_gradient_are_bit_for_bit_the_usual() -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn((64, 33), generator=generator) * 4
    targets = (torch.rand((64, 33), generator=generator) < 0.3).float()
    ours, usual = (values.clone().requires_grad_() for _ in range(2))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(usual, targets, reduction="sum") / 64
    found = losses.bce(ours, targets)
    expected.backward()
    found.backward()
    assert torch.equal(found, expected)
    assert torch.equal(ours.grad, usual.grad)  # type: ignore[arg-type]
