"""What a phase of training works with, and what changes while it is trained."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.prepared import Split
from aaam_pipeline.models import Network
from aaam_pipeline.models.info import BundleInfo
from aaam_pipeline.training.distributed import DistributedContext
from aaam_pipeline.training.phases import Phase, PhaseSettings
from aaam_pipeline.training.prediction_tracker import PredictionTracker

LOSS_METRICS = ("loss", "bce", "triplet_margin", "triplets_per_image")
"""What is measured of every batch, in the order of `PhaseStatus.totals`."""

Forward = Callable[[Tensor], Tensor]
HistoryRow = dict[str, float | int]


class TrainJob(NamedTuple):
    """All that a phase works with and does not change.

    `val`: None where its images are trained on. `validated`: then what the bundle of the network says that was
    validated.
    """

    name: str
    phase: Phase
    settings: PhaseSettings
    train: Split
    val: Split | None
    test: Split
    labels: list[str]
    context: DistributedContext
    checkpoint: Path
    fingerprint: str
    report: Reporter
    validated: BundleInfo | None = None


class PhaseStatus(msgspec.Struct):
    """How far a phase has come. `history` has one row an epoch, the first one (epoch 0) before any training.

    `epoch` is the one in work or finished last; `step` > 0: so many batches of it are done, with these `totals`.
    `penalty`: that of the classifier's start, if it was fitted.
    """

    fingerprint: str
    epoch: int = 0
    step: int = 0
    totals: list[float] = []
    best_epoch: int = 0
    best_map: float = -1.0
    history: list[HistoryRow] = []
    recorded_steps: list[int] = []
    penalty: float | None = None

    def begin_epoch(self) -> None:
        """Count the next epoch as begun, with no batch done."""
        self.epoch += 1
        self.step, self.totals = 0, [0.0] * len(LOSS_METRICS)


@dataclass
class TrainState:
    """All that changes while a phase is trained.

    `best_weights` are those of the epoch to keep so far; `miner` draws the triplets. `average` is None without `ema`.
    """

    network: Network
    optimizer: torch.optim.Optimizer
    tracker: PredictionTracker
    status: PhaseStatus
    average: AveragedModel | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    miner: torch.Generator = field(default_factory=torch.Generator)

    @property
    def validated(self) -> Network:
        """The network that is validated and kept: the average where there is one."""
        return cast(Network, self.average.module) if self.average else self.network
