"""The schedule of the learning rates, which parameters an optimizer has, and the average of the weights."""

from itertools import pairwise
from typing import Literal

import pytest
import torch
from torch import nn

from aaam_pipeline.models import create
from aaam_pipeline.training.optimizer import make_average, make_optimizer, make_scheduler
from aaam_pipeline.training.phases import LearningRates, PhaseParams, TrainParams

RATES = (1e-3, 2e-5)
EPOCHS, STEPS = 4, 25


def rates(schedule: Literal["constant", "one_cycle"], first_step: int = 0, warm_up: float = 0.1) -> list[list[float]]:
    """Return the rates of both groups of parameters at every step from `first_step` on."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate, "initial_lr": rate} for rate in RATES]
    optimizer = torch.optim.Adam(groups)
    params = PhaseParams(epochs=EPOCHS, schedule=schedule, warm_up=warm_up)
    scheduler = make_scheduler(optimizer, params, STEPS, first_step)
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


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_one_cycle_warms_up_over_the_share_that_is_set(share: float) -> None:
    found = [column[0] for column in rates("one_cycle", warm_up=share)]
    assert found.index(max(found)) == EPOCHS * STEPS * share
    assert max(found) == pytest.approx(RATES[0])


def test_weight_decay_is_a_part_of_the_gradient_in_adam_and_apart_from_it_in_adamw() -> None:
    moved = {}
    for name in ("adam", "adamw"):
        network = create("vgg_small", "none", 3, size=32)
        torch.nn.init.ones_(network.classifier.weight)
        common, params = TrainParams(optimizer=name), PhaseParams(lr=LearningRates(0, 0, 0.5), weight_decay=0.1)  # type: ignore[arg-type]
        optimizer = make_optimizer(network, common, params, torch.device("cpu"))
        network.classifier.weight.grad = torch.zeros_like(network.classifier.weight)
        optimizer.step()
        moved[name] = float(network.classifier.weight.detach().mean())
    assert moved["adam"] == pytest.approx(0.5), "a step of the whole rate, however small the decay"
    assert moved["adamw"] == pytest.approx(1 - 0.5 * 0.1)


def test_the_average_of_the_weights_follows_them_fast_at_first_and_then_with_its_decay() -> None:
    network = create("vgg_small", "none", 3, size=32)
    average = make_average(network, 0.5)
    assert average is not None
    assert make_average(network, 0) is None
    found = []
    for value in range(6):
        torch.nn.init.constant_(network.classifier.bias, value)
        average.update_parameters(network)
        found.append(average.module.classifier.bias[0].item())
    # the first is a copy; then 2/11, 3/12, ... of the average before, and half of it in the end
    expected = [0.0]
    for value, share in zip(range(1, 6), (2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15), strict=True):
        expected.append(share * expected[-1] + (1 - share) * value)
    assert found == pytest.approx(expected)
