"""The three phases as a table (section 5.4): each starts from the checkpoint of the one before.

`bce` finds the easy labels. `joint` adds the triplet margin with random triplets (Algorithm 1): found labels pull the
related, not yet found ones up. `hard` takes the triplets that maximise the margin loss instead of random ones. `warp`
is no phase of AAAM but the compared ranking loss, trained from the same start as `bce`.
"""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor

from aaam_pipeline.core.params import Struct
from aaam_pipeline.training import triplets

Miner = Callable[[Tensor, Tensor, int, torch.Generator], Tensor]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class LearningRates(Struct, frozen=True):
    """Learning rate of each parameter group; 0 keeps a group as it is."""

    features: NotNegative = 1e-3
    attention: NotNegative = 1e-4
    classifier: NotNegative = 1e-4


class PhaseParams(Struct, frozen=True):
    """`phases.<name>` of params.yaml.

    `margin` is m and `weight` lambda of Eq. 4 and 6 (`bce` uses neither, `warp` the margin alone). `patience`: epochs
    without a better validation mAP after which the phase ends. `schedule`: the learning rate stays, or rises over the
    first tenth of the phase and falls to 0 on a cosine (one-cycle).
    """

    epochs: Annotated[int, Meta(ge=0)] = 10
    patience: Annotated[int, Meta(ge=1)] = 3
    lr: LearningRates = LearningRates()
    schedule: Literal["constant", "one_cycle"] = "constant"
    weight_decay: NotNegative = 1e-5
    margin: Positive = 0.1
    weight: NotNegative = 1.0


class Phase(NamedTuple):
    """A row of the table: its name, the phase it starts from, and how it picks triplets (None: none).

    `objective`: Eq. 6, which without triplets is the cross-entropy, or the WARP loss.
    """

    name: str
    after: str | None
    mine: Miner | None
    objective: Literal["joint", "warp"] = "joint"


def _hardest(probs_BL: Tensor, targets_BL: Tensor, k: int, generator: torch.Generator) -> Tensor:
    return triplets.hardest(probs_BL, targets_BL, k)


PHASES = {
    phase.name: phase
    for phase in (
        Phase("bce", after=None, mine=None),
        Phase("joint", after="bce", mine=triplets.sample),
        Phase("hard", after="joint", mine=_hardest),
        Phase("warp", after=None, mine=None, objective="warp"),
    )
}
