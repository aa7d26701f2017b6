import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from aaam_pipeline.training import losses, triplets

Anchor = tuple[int, int]


def slow_candidates(probs_BL: Tensor, targets_BL: Tensor, k: int) -> dict[Anchor, tuple[set[int], set[int]]]:
    """Read Algorithm 1 of the paper image by image: anchor (row, i) -> allowed j, allowed k."""
    found = {}
    for row, (scores, truth) in enumerate(zip(probs_BL.tolist(), targets_BL.tolist(), strict=True)):
        known = [label for label, there in enumerate(truth) if there >= 0]
        ranking = sorted(known, key=lambda label: (-scores[label], label))
        relevant = [label for label in ranking if truth[label]]
        irrelevant = [label for label in ranking if not truth[label]]
        if len(relevant) < 2 or not irrelevant:
            continue
        top = ranking[:k]
        for i in [label for label in relevant if label in top] or relevant[:1]:
            lower = relevant[relevant.index(i) + 1 :]
            undetected = [label for label in lower if label not in top]
            if lower:
                found[row, i] = (set(undetected or lower), set(irrelevant[:k]))
    return found


@st.composite
def batches(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    images, labels = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    # few levels make ties, many make a strict order
    levels = draw(st.sampled_from([1, 3, 1000]))
    probs = torch.randint(0, levels, (images, labels), generator=generator) / levels
    share = draw(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))
    targets = (torch.rand((images, labels), generator=generator) < share).float()
    unknown = draw(st.sampled_from([0.0, 0.0, 0.3, 0.8]))
    targets = targets.masked_fill(torch.rand((images, labels), generator=generator) < unknown, -1)
    return probs, targets, draw(st.integers(1, labels + 2))


@settings(deadline=None, max_examples=200)
@given(batches(), st.integers(0, 2**32))
def test_one_allowed_triplet_is_drawn_for_every_anchor(batch: tuple[Tensor, Tensor, int], seed: int) -> None:
    expected = slow_candidates(*batch)
    drawn = triplets.sample(*batch, torch.Generator().manual_seed(seed)).tolist()
    assert Counter((row, i) for row, i, _, _ in drawn) == Counter(list(expected))
    for row, i, j, k in drawn:
        allowed_j, allowed_k = expected[row, i]
        assert j in allowed_j
        assert k in allowed_k


@settings(deadline=None, max_examples=200)
@given(batches())
def test_the_hardest_triplets_maximise_the_margin_loss(batch: tuple[Tensor, Tensor, int]) -> None:
    probs, expected = batch[0], slow_candidates(*batch)
    found = triplets.hardest(*batch)
    assert Counter((row, i) for row, i, _, _ in found.tolist()) == Counter(list(expected))
    for row, i, j, k in found.tolist():
        allowed_j, allowed_k = expected[row, i]
        assert j in allowed_j
        assert k in allowed_k
        everything = torch.tensor([[row, i, one, other] for one in allowed_j for other in allowed_k])
        # a margin of 2 keeps the hinge active, so that the maximum is where D_ij - D_ik is largest
        best = max(float(losses.triplet_margin(probs, each[None], 2.0)) for each in everything)
        assert float(losses.triplet_margin(probs, torch.tensor([[row, i, j, k]]), 2.0)) == pytest.approx(best)


PROBS = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]])
TARGETS = torch.tensor([[1.0, 0, 1, 0, 0, 1, 1, 0]])


def test_all_allowed_labels_are_drawn_about_equally_often() -> None:
    generator, rounds = torch.Generator().manual_seed(0), 600
    seen: dict[tuple[int, str], Counter[int]] = defaultdict(Counter)
    for _ in range(rounds):
        for _, i, j, k in triplets.sample(PROBS, TARGETS, 3, generator).tolist():
            seen[i, "j"][j] += 1
            seen[i, "k"][k] += 1
    # ranks are the label numbers; with k = 3, 0 and 2 are detected, 5 and 6 are not, 1, 3, 4 are irrelevant on top
    assert {anchor: set(labels) for anchor, labels in seen.items()} == {
        (0, "j"): {5, 6}, (0, "k"): {1, 3, 4}, (2, "j"): {5, 6}, (2, "k"): {1, 3, 4},
    }  # fmt: skip
    for labels in seen.values():
        assert min(labels.values()) > 0.8 * rounds / len(labels)


def test_a_detected_label_is_the_second_choice_for_j() -> None:
    targets = torch.tensor([[1.0, 0, 1, 0, 0, 0, 0, 0]])
    assert triplets.hardest(PROBS, targets, 3)[:, :3].tolist() == [[0, 0, 2]]


def test_the_best_relevant_label_stands_in_where_none_is_detected() -> None:
    targets = torch.tensor([[0.0, 0, 0, 0, 1, 1, 1, 0]])
    assert triplets.hardest(PROBS, targets, 3).tolist() == [[0, 4, 6, 2]]


@pytest.mark.parametrize(
    "targets",
    [[0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1]],
    ids=["none relevant", "one relevant", "none irrelevant"],
)
def test_an_image_without_a_pair_or_without_an_irrelevant_label_gives_none(targets: list[int]) -> None:
    truth = torch.tensor([targets]).float()
    assert triplets.sample(PROBS, truth, 3).shape == (0, 4)
    assert triplets.hardest(PROBS, truth, 3).shape == (0, 4)


def test_triplets_are_integers_and_carry_no_gradient() -> None:
    probs = PROBS.clone().requires_grad_()
    for found in (triplets.sample(probs, TARGETS, 3), triplets.hardest(probs, TARGETS, 3)):
        assert found.dtype == torch.int64
        assert not found.requires_grad


def test_equal_generators_draw_equal_triplets() -> None:
    probs, targets = torch.rand(20, 30), (torch.rand(20, 30) < 0.3).float()
    one, same, other = (triplets.sample(probs, targets, 5, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


class OperationCount(TorchDispatchMode):
    """Counts the tensor operations that run inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("mine", [triplets.sample, triplets.hardest])
def test_mining_does_not_go_through_the_images_one_by_one(mine: Callable[..., Tensor]) -> None:
    counts, started = [], time.process_time()
    for images in (4, 256):
        probs, targets = torch.rand(images, 291), (torch.rand(images, 291) < 0.1).float()
        with OperationCount() as operations:
            assert len(mine(probs, targets, 5)) >= images / 2
        counts.append(operations.count)
    assert counts[0] == counts[1] > 0
    assert time.process_time() - started < 2
