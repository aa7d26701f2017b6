"""The loss that the trainer differentiates: Eq. 6 with the triplets of its phase, or WARP."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.prepared import Split
from aaam_pipeline.models import ModelParams
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.models.warp import warp_loss
from aaam_pipeline.training import losses, triplets
from aaam_pipeline.training.distributed import DistributedContext
from aaam_pipeline.training.loaders import Batch
from aaam_pipeline.training.objective import batch_loss
from aaam_pipeline.training.phases import PHASES, Phase, PhaseParams, PhaseSettings, TrainParams
from aaam_pipeline.training.state import TrainJob

MARGIN, WEIGHT, K = 0.2, 0.7, 2
GENERATOR = torch.Generator().manual_seed(4)
LOGITS = torch.randn((5, 7), generator=GENERATOR)
TARGETS = torch.randint(0, 2, (5, 7), generator=GENERATOR).float()
TRIPLETS = torch.tensor([[0, 0, 1, 2], [0, 3, 1, 2], [4, 6, 5, 0], [2, 1, 2, 3]])


def found_loss(phase: Phase, logits: Tensor = LOGITS, **params: Any) -> tuple[Tensor, list[float]]:
    """Return the trainer's loss of one batch, whose network gives `logits`, and the means it measures."""
    empty = Split([], [], np.zeros((0, 8, 8, 3), np.uint8), np.zeros((0, 7), np.uint8))
    chosen = {"margin": MARGIN, "weight": WEIGHT} | params
    settings = PhaseSettings(K, Preprocess(size=8), ModelParams(), TrainParams(precision="fp32"), PhaseParams(**chosen))
    job = TrainJob(
        "toy", phase, settings, empty, empty, empty, list("abcdefg"), DistributedContext("cpu"), Path(), "",
        NullReporter(),
    )  # fmt: skip
    miner = torch.Generator().manual_seed(1)
    loss, means = batch_loss(job, lambda images: images, Batch(logits, TARGETS, len(logits)), miner)
    return loss, means.tolist()


def fixed(mined: Tensor) -> Phase:
    return Phase("joint", after="bce", mine=lambda *_: mined)


def test_equation_6_is_bce_plus_lambda_times_the_mean_over_triplets() -> None:
    loss, means = found_loss(fixed(TRIPLETS))
    bce, margin = losses.bce(LOGITS, TARGETS), losses.triplet_margin(LOGITS.sigmoid(), TRIPLETS, MARGIN)
    assert margin > 0
    torch.testing.assert_close(loss, bce + WEIGHT * margin)
    assert means == pytest.approx([float(bce + WEIGHT * margin), float(bce), float(margin), 4 / 5])


def test_the_gradient_of_equation_6_is_that_of_its_terms() -> None:
    leaf, other = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    found_loss(fixed(TRIPLETS), leaf)[0].backward()  # type: ignore[no-untyped-call]
    expected = losses.bce(other, TARGETS) + WEIGHT * losses.triplet_margin(other.sigmoid(), TRIPLETS, MARGIN)
    expected.backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert other.grad is not None
    torch.testing.assert_close(leaf.grad, other.grad)


def test_lambda_0_leaves_the_cross_entropy_and_still_measures_the_margin_loss() -> None:
    loss, means = found_loss(fixed(TRIPLETS), weight=0.0)
    torch.testing.assert_close(loss, losses.bce(LOGITS, TARGETS))
    assert means[2] == pytest.approx(float(losses.triplet_margin(LOGITS.sigmoid(), TRIPLETS, MARGIN)))


@pytest.mark.parametrize("phase", [PHASES["bce"], fixed(TRIPLETS[:0])], ids=["bce", "no triplets found"])
def test_without_triplets_it_is_the_cross_entropy(phase: Phase) -> None:
    loss, means = found_loss(phase)
    torch.testing.assert_close(loss, losses.bce(LOGITS, TARGETS))
    assert means[2:] == [0, 0]


@pytest.mark.parametrize("phase", ["joint", "hard"])
def test_triplets_are_mined_from_the_probabilities_of_the_batch(phase: str) -> None:
    probs, miner = LOGITS.sigmoid(), torch.Generator().manual_seed(1)
    mined = triplets.sample(probs, TARGETS, K, miner) if phase == "joint" else triplets.hardest(probs, TARGETS, K)
    assert len(mined)
    loss, means = found_loss(PHASES[phase])
    torch.testing.assert_close(loss, losses.bce(LOGITS, TARGETS) + WEIGHT * losses.triplet_margin(probs, mined, MARGIN))
    assert means[3] == pytest.approx(len(mined) / 5)


def test_the_warp_objective_measures_the_cross_entropy_beside_it() -> None:
    loss, means = found_loss(PHASES["warp"], margin=1.0)
    torch.testing.assert_close(loss, warp_loss(LOGITS, TARGETS, 1.0, torch.Generator().manual_seed(1)))
    assert means == pytest.approx([float(loss), float(losses.bce(LOGITS, TARGETS)), 0, 0])
