"""Which loss suits labels that are rare and partly unknown: a small head on frozen features, in minutes.

    python -m benchmarks.heads everyday

Features of the prepared pictures are computed once, with the data set's backbone as it came. Heads are trained on them
with cross-entropy over the known labels, or with what is said to help where few labels are there. Mean AP in %, of all
labels and of those with at least ten positives; settings are to be chosen by the validation columns.
"""

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from aaam_pipeline import metrics
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE
from aaam_pipeline.datasets.prepared import Split, read_split
from aaam_pipeline.models import Network
from aaam_pipeline.training.device import autocast
from aaam_pipeline.training.phases import PhaseSettings, read_settings
from benchmarks.table import Report

SPLITS = ("train", "val", "test")
BATCH, RATE, DECAY, ENOUGH = 128, 2e-3, 1e-2, 10


class Trial(NamedTuple):
    """How a head is trained.

    `positives`: yes counts (no / yes) ** positives times as much, at most 30 times; `known`: a label counts for
    (images / known images) ** known; `focus`: no counts p ** focus (the asymmetric loss of Ridnik et al. 2021);
    `smoothing`: targets are moved so far towards the label's share; `hidden`: values of a hidden layer, 0: none.
    """

    name: str
    positives: float = 0.0
    known: float = 0.0
    focus: float = 0.0
    smoothing: float = 0.0
    hidden: int = 0


TRIALS = (
    Trial("cross-entropy"),
    Trial("positives weigh (no / yes) ** 0.3", positives=0.3),
    Trial("positives weigh (no / yes) ** 0.5", positives=0.5),
    Trial("labels weigh (images / known) ** 0.5", known=0.5),
    Trial("asymmetric, gamma 2", focus=2.0),
    Trial("labels smoothed by 0.1", smoothing=0.1),
    Trial("cross-entropy, hidden layer of 512", hidden=512),
)


def main(
    dataset: str,
    epochs: Annotated[int, typer.Option(min=1)] = 12,
    precision: Annotated[str, typer.Option(help="fp32 or bf16, of the backbone.")] = "bf16",
    params: Path = HERE.params,
) -> None:
    """Print the table."""
    settings = read_settings(ParamsFile.read(params), dataset, "bce")
    network = Network(settings.model, 1, settings.preprocess.size).eval()
    splits = {name: read_split(HERE.prepared(dataset), name) for name in SPLITS}
    features = {name: _features(network, settings, split, precision) for name, split in splits.items()}
    columns = [f"{split} {which}" for split in SPLITS[1:] for which in ("all", f">= {ENOUGH} positives")]
    add = Report().table(f"heads on frozen {settings.model.backbone}, {dataset}, {epochs} epochs", ["", *columns])
    for trial in TRIALS:
        head = _trained(trial, features["train"], splits["train"].targets_NL, epochs)
        with torch.no_grad():
            found = [_mean_ap(head(features[name]).numpy(), splits[name].targets_NL) for name in SPLITS[1:]]
        add([trial.name, *(f"{100 * value:.1f}" for pair in found for value in pair)])


def _features(network: Network, settings: PhaseSettings, split: Split, precision: str) -> Tensor:
    parts = []
    for start in range(0, len(split.image_ids), BATCH):
        images = settings.preprocess.normalise(torch.tensor(split.pixels_NSS3[start : start + BATCH]))
        with torch.no_grad(), autocast(precision, torch.device("cpu")):
            parts.append(network.embed(images).float())
    return torch.cat(parts)


def _trained(trial: Trial, features_ND: Tensor, targets_array_NL: NDArray[np.int8], epochs: int) -> nn.Module:
    torch.manual_seed(0)
    targets_NL = torch.from_numpy(targets_array_NL)
    images, labels = targets_NL.shape
    yes_L, no_L = ((targets_NL == value).sum(0).float() for value in (1, 0))
    share_L = (yes_L + 0.5) / (yes_L + no_L + 1)
    positive_L = ((no_L.clamp(min=1) / yes_L.clamp(min=1)) ** trial.positives).clamp(1, 30)
    known_L = (images / (yes_L + no_L).clamp(min=1)) ** trial.known
    width = trial.hidden or features_ND.shape[1]
    first = [nn.Linear(features_ND.shape[1], width), nn.ReLU(), nn.Dropout(0.2)] if trial.hidden else []
    last = nn.Linear(width, labels)
    head = nn.Sequential(nn.Dropout(0.2), *first, last)
    with torch.no_grad():
        last.bias.copy_(share_L.logit())
    optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=DECAY)
    steps = epochs * -(-images // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=0.2)
    for _ in range(epochs):
        for rows_B in torch.split(torch.randperm(images), BATCH):
            logits_BL, targets_BL = head(features_ND[rows_B]), targets_NL[rows_B]
            wanted_BL = targets_BL.clamp(min=0) * (1 - trial.smoothing) + trial.smoothing * share_L
            loss_BL = binary_cross_entropy_with_logits(logits_BL, wanted_BL, reduction="none")
            if trial.focus:
                loss_BL = loss_BL * torch.where(targets_BL > 0, 1.0, logits_BL.sigmoid() ** trial.focus)
            weight_BL = (targets_BL >= 0) * known_L * torch.where(targets_BL > 0, positive_L, 1.0)
            loss = (loss_BL * weight_BL).sum() / len(rows_B)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return head.eval()


def _mean_ap(scores_NL: NDArray[np.float32], targets_NL: NDArray[np.int8]) -> tuple[float, float]:
    """Return the mean AP of the labels with a positive, and of those with enough of them."""
    ap_L, positives_L = metrics.average_precision(scores_NL, targets_NL), (targets_NL > 0).sum(0)
    return float(ap_L[positives_L > 0].mean()), float(ap_L[positives_L >= ENOUGH].mean())


if __name__ == "__main__":
    typer.run(main)
