"""The classifier's start: trained alone on the features of the backbone as it came, which are computed once.

A classifier that starts at random sends noise into the backbone for the first epochs; one that fits the features
does not, and the backbone keeps more of what it knows (Kumar et al. 2022).

Shapes: N images, B batch, D embedding, L labels.
"""

import numpy as np
import torch
from torch import Tensor

from aaam_pipeline.core.seeding import derive
from aaam_pipeline.models import Network
from aaam_pipeline.training import losses
from aaam_pipeline.training.device import autocast
from aaam_pipeline.training.state import TrainJob

BATCH, EMBEDDED = 128, 64
# of AdamW with a one-cycle schedule
LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 2e-3, 1e-2, 0.2


def fit_probe(network: Network, job: TrainJob, epochs: int) -> None:
    """Train the classifier alone for so many epochs; the rest of the network stays as it is.

    All processes compute their share of the embeddings and then train the same classifier.
    """
    embedding_ND = _embed(network, job)
    targets_NL = torch.from_numpy(np.asarray(job.train.targets_NL)).to(embedding_ND.device)
    seed = derive(job.settings.train.seed, job.phase.name, "probe")
    order, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    classifier, images = network.classifier, len(embedding_ND)
    optimizer = torch.optim.AdamW(classifier.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-images // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps + 1, pct_start=0.2)
    with job.report.task(f"{job.name} classifier", epochs * images, 0) as advance:
        for _ in range(epochs):
            for rows in np.array_split(order.permutation(images), -(-images // BATCH)):
                rows_B = torch.from_numpy(rows).to(embedding_ND.device)
                embedding_BD = embedding_ND[rows_B]
                kept_BD = (torch.rand(embedding_BD.shape, generator=noise) >= DROPOUT).to(embedding_BD) / (1 - DROPOUT)
                loss = losses.bce(classifier(embedding_BD * kept_BD), targets_NL[rows_B].float())
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                advance(len(rows))


def _embed(network: Network, job: TrainJob) -> Tensor:
    """Return the embeddings of all training images, (N, D), float32."""
    network.eval()
    context, preprocess, pixels_NSS3 = job.context, job.settings.preprocess, job.train.pixels_NSS3
    rows, parts = context.shard(np.arange(len(pixels_NSS3))), []
    with job.report.task(f"{job.name} features", len(rows), 0) as advance:
        for start in range(0, len(rows), EMBEDDED):
            pixels = torch.tensor(pixels_NSS3[rows[start : start + EMBEDDED]], device=context.device)
            with torch.no_grad(), autocast(job.settings.train.precision, context.device):
                parts.append(network.embed(preprocess.normalise(pixels)).float())
            advance(len(pixels))
    return context.all_gather(torch.cat(parts), len(pixels_NSS3))
