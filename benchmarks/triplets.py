"""What the triplet margin loss does by itself, in minutes: a small head on frozen features, many settings and seeds.

    python -m benchmarks.triplets data/prepared/corel5k mobilenet_v2 mobilenet_v2_imagenet.safetensors

Features of the prepared pictures, clean and in three augmented copies, are computed once. A hidden layer and the labels
are trained with cross-entropy, and from there on for a few epochs with Eq. 6: lambda 0 is the control that every gain
is against, seed by seed. Settings are to be chosen by the validation columns; test is there to see whether that holds.
"""

import copy
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from aaam_pipeline import metrics
from aaam_pipeline.datasets.listing import SPLITS
from aaam_pipeline.datasets.prepared import Split, read_split
from aaam_pipeline.models import ModelParams, Network
from aaam_pipeline.models.info import AttentionParams
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training import losses
from aaam_pipeline.training.loaders import NOISE, Augment, augment
from aaam_pipeline.training.optimizer import make_scheduler
from aaam_pipeline.training.phases import PHASES, PhaseParams
from benchmarks.table import Report

SETTINGS = [("hard", weight, margin) for weight in (3.0, 10.0, 30.0, 100.0) for margin in (0.05, 0.2, 0.5)] + [
    ("joint", weight, 0.2) for weight in (3.0, 10.0, 30.0, 100.0)
]
NAMES = {"precision_at_k": "P@k", "recall_at_k": "R@k", "map_at_10": "mAP@10", "map": "mAP", "n_plus": "N+"}
COPIES, HIDDEN, BATCH = 3, 512, 64
FIRST = PhaseParams(epochs=30, schedule="one_cycle")
RATES = (1e-3, 5e-4)


class Features(NamedTuple):
    """`features_CND`: copies, images, values; the first copy is of the pictures as they are."""

    features_CND: Tensor
    targets_NL: Tensor


def main(
    prepared: Path,
    backbone: str,
    weights: str,
    k: Annotated[int, typer.Option(min=1)] = 5,
    size: Annotated[int, typer.Option(help="Side of the prepared pictures.")] = 160,
    seeds: Annotated[int, typer.Option(min=2)] = 5,
) -> None:
    """Print the table."""
    params = ModelParams(backbone=backbone, weights=weights, attention=AttentionParams(filters="none"))
    network = Network(params, 1, size).eval()
    preprocess = Preprocess(size=size)
    splits = {name: _features(network, read_split(prepared, name), preprocess, name) for name in SPLITS}
    scale = splits["train"].features_CND[0].std()
    splits = {name: split._replace(features_CND=split.features_CND / scale) for name, split in splits.items()}
    train = splits["train"]
    heads = {seed: _trained(_head(train, seed), train, "bce", FIRST, RATES[0], k, seed) for seed in range(seeds)}
    control = _gains(heads, splits, "bce", 0.0, 0.2, k)
    names = [f"{split} {name}" for split in SPLITS[1:] for name in NAMES.values()]
    title = f"triplet margin on frozen {backbone}, {seeds} seeds: gain over lambda 0 ± standard error"
    add = Report().table(title, ["", *names])
    add(["cross-entropy (lambda 0)", *(f"{value:.1f}" for value in control.mean(0).ravel())])
    for phase, weight, margin in SETTINGS:
        gains = _gains(heads, splits, phase, weight, margin, k) - control
        error = gains.std(0, ddof=1) / seeds**0.5
        cells = [f"{mean:+.2f} ± {of:.2f}" for mean, of in zip(gains.mean(0).ravel(), error.ravel(), strict=True)]
        add([f"{phase}, lambda {weight:g}, m {margin:g}", *cells])


def _features(network: Network, split: Split, preprocess: Preprocess, name: str) -> Features:
    copies = []
    for number in range(1 + (COPIES if name == "train" else 0)):
        generator = torch.Generator().manual_seed(number)
        parts = []
        for start in range(0, len(split.image_ids), BATCH):
            images = preprocess.normalise(torch.tensor(split.pixels_NSS3[start : start + BATCH]))
            if number:
                noise = torch.rand((len(images), NOISE), generator=generator)
                images = augment(images, Augment(zoom=0.3, light=0.1), noise)
            parts.append(network.predict(images)[1])
        copies.append(torch.cat(parts))
    return Features(torch.stack(copies), torch.tensor(split.targets_NL))


def _head(train: Features, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    dim, labels = train.features_CND.shape[2], train.targets_NL.shape[1]
    layers = [nn.Linear(dim, HIDDEN), nn.ReLU(), nn.Dropout(0.5), nn.Linear(HIDDEN, labels)]
    return nn.Sequential(nn.Dropout(0.3), *layers)


def _gains(
    heads: dict[int, nn.Module], splits: dict[str, Features], phase: str, weight: float, margin: float, k: int
) -> NDArray[np.float64]:
    """Return the metrics after a second training of every seed's head, (seeds, splits, metrics)."""
    params = PhaseParams(epochs=5, schedule="one_cycle", weight=weight, margin=margin)
    found = []
    for seed, head in heads.items():
        network = _trained(copy.deepcopy(head), splits["train"], phase, params, RATES[1], k, seed + 1000)
        found.append([_measured(network, splits[name], k) for name in SPLITS[1:]])
    return np.array(found)


def _trained(
    head: nn.Module, train: Features, phase: str, params: PhaseParams, rate: float, k: int, seed: int
) -> nn.Module:
    """Train a head with Eq. 6; `phase` says how triplets are picked."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(head.parameters(), rate, weight_decay=params.weight_decay)
    images, mine = len(train.targets_NL), PHASES[phase].mine
    starts = range(0, images, BATCH)
    scheduler = make_scheduler(optimizer, params, len(starts))
    head.train()
    for _ in range(params.epochs):
        order = torch.randperm(images, generator=generator)
        for start in starts:
            rows = order[start : start + BATCH]
            copies = torch.randint(0, len(train.features_CND), (len(rows),), generator=generator)
            targets = train.targets_NL[rows].float()
            logits = head(train.features_CND[copies, rows])
            triplets = torch.empty((0, 4), dtype=torch.int64)
            if mine and params.weight:
                triplets = mine(logits.detach().sigmoid(), targets, k, generator)
            margin = losses.triplet_margin(logits.sigmoid(), triplets, params.margin)
            loss = losses.bce(logits, targets) + params.weight * margin
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
    return head


def _measured(head: nn.Module, split: Features, k: int) -> list[float]:
    head.eval()
    with torch.inference_mode():
        scores = head(split.features_CND[0]).sigmoid().numpy()
    measured = metrics.evaluate(scores, split.targets_NL.numpy(), k)
    return [measured[name] * (1 if name == "n_plus" else 100) for name in NAMES]


if __name__ == "__main__":
    typer.run(main)
