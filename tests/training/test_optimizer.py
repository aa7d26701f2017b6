"""The schedule of the learning rates."""

from itertools import pairwise
from typing import Literal

import pytest
import torch
from torch import nn

from aaam_pipeline.training.optimizer import make_scheduler
from aaam_pipeline.training.phases import PhaseParams

RATES = (1e-3, 2e-5)
EPOCHS, STEPS = 4, 25


def rates(schedule: Literal["constant", "one_cycle"], first_step: int = 0) -> list[list[float]]:
    """Return the rates of both groups of parameters at every step from `first_step` on."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate, "initial_lr": rate} for rate in RATES]
    optimizer = torch.optim.Adam(groups)
    scheduler = make_scheduler(optimizer, PhaseParams(epochs=EPOCHS, schedule=schedule), STEPS, first_step)
    found = []
    for _ in range(first_step, EPOCHS * STEPS):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return found


def test_a_constant_schedule_keeps_the_rates() -> None:
    assert rates("constant") == [list(RATES)] * EPOCHS * STEPS


def test_one_cycle_rises_over_the_first_tenth_and_falls_to_almost_0_on_a_cosine() -> None:
    found = rates("one_cycle")
    for rate, column in zip(RATES, zip(*found, strict=True), strict=True):
        assert column[0] == pytest.approx(0.04 * rate)
        assert column[5] == pytest.approx(0.52 * rate)
        assert column[10] == pytest.approx(rate)
        assert column[55] == pytest.approx(0.5 * rate)
        assert 0 < column[-1] < 1e-3 * rate
        assert all(one < other for one, other in pairwise(column[:11]))
        assert all(one > other for one, other in pairwise(column[10:]))


@pytest.mark.parametrize("first_step", [1, 24, 25, 50, 77])
def test_a_schedule_made_in_the_middle_of_a_phase_has_the_rates_of_one_from_its_start(first_step: int) -> None:
    assert rates("one_cycle", first_step) == rates("one_cycle")[first_step:]
