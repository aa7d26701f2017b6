"""The classifier's start: trained alone on the features of the backbone as it came, which are computed once.

A classifier that starts at random sends noise into the backbone for the first epochs; one that fits the features
does not, and the backbone keeps more of what it knows (Kumar et al. 2022).

With many photographs a few epochs of it are enough; with few the exact fit is better, and takes a second
(`fit_logistic`).

Shapes: N images, B batch, D embedding, L labels.
"""

import numpy as np
import torch
from torch import Tensor

from aaam_pipeline import metrics
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.models import Network
from aaam_pipeline.training import losses
from aaam_pipeline.training.device import autocast
from aaam_pipeline.training.state import TrainJob

BATCH, EMBEDDED = 128, 64
# of AdamW with a one-cycle schedule
LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 2e-3, 1e-2, 0.2
# of the exact fit: what the squared weights are divided by, chosen by cross-validation
PENALTIES, FOLDS, ITERATIONS = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0), 4, 100


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


def fit_logistic(network: Network, job: TrainJob) -> float:
    """Fit the classifier alone to its optimum: logistic regression with an L2 penalty; the rest stays as it is.

    The penalty, one for all labels, is that of the network that was validated: calibration and thresholds come from
    there, and with another one scores have another scale. Else it is chosen by cross-validation, and returned. Rows of
    words that the network knew are no start: what one's own labels mean by a word is often something else.
    """
    embedding_ND = _embed(network, job).double()
    targets_NL = torch.from_numpy(np.asarray(job.train.targets_NL)).to(embedding_ND)
    penalty = job.validated.metrics.get("penalty") if job.validated else None
    penalty = _choose_penalty(embedding_ND, targets_NL, job) if penalty is None else float(penalty)
    weight_LD, bias_L = _logistic(embedding_ND, targets_NL, penalty)
    with torch.no_grad():
        network.classifier.weight.copy_(weight_LD)
        network.classifier.bias.copy_(bias_L)
    return penalty


def _choose_penalty(embedding_ND: Tensor, targets_NL: Tensor, job: TrainJob) -> float:
    """Return the penalty with the best mean AP in cross-validation; of equal ones that with the lowest cross-entropy.

    Where all words are told apart, any penalty ranks as well, and the strongest says next to nothing.
    """
    random = np.random.default_rng(derive(job.settings.train.seed, job.phase.name, "folds"))
    fold_N = torch.from_numpy(random.permutation(len(embedding_ND)) % FOLDS).to(embedding_ND.device)
    with job.report.task(f"{job.name} classifier", len(PENALTIES), 0) as advance:
        found = []
        for penalty in PENALTIES:
            found.append((*_cross_validated(embedding_ND, targets_NL, fold_N, penalty), penalty))
            advance(1)
    return max(found)[-1]


def _cross_validated(embedding_ND: Tensor, targets_NL: Tensor, fold_N: Tensor, penalty: float) -> tuple[float, float]:
    """Return the mean AP of the folds and their cross-entropy, negative, so that more is better.

    Labels without a relevant image in a fold have no AP there.
    """
    found, entropy = [], 0.0
    for fold in range(FOLDS):
        held_N = fold_N == fold
        weight_LD, bias_L = _logistic(embedding_ND[~held_N], targets_NL[~held_N], penalty)
        logits_NL = embedding_ND[held_N] @ weight_LD.T + bias_L
        entropy += float(losses.bce(logits_NL, targets_NL[held_N])) * int(held_N.sum())
        scores_NL, truth_NL = logits_NL.cpu().numpy(), targets_NL[held_N].cpu().numpy()
        has_L = (truth_NL == 1).any(0)
        found += metrics.average_precision(scores_NL, truth_NL)[has_L].tolist()
    return round(float(np.mean(found)) if found else 0.0, 6), -entropy


def _logistic(embedding_ND: Tensor, targets_NL: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Return weights (L, D) and biases (L,) that minimise cross-entropy, summed, + |weights|^2 / (2 penalty)."""
    weight_LD = embedding_ND.new_zeros(targets_NL.shape[1], embedding_ND.shape[1], requires_grad=True)
    bias_L = embedding_ND.new_zeros(targets_NL.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_LD, bias_L], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        entropy = len(targets_NL) * losses.bce(embedding_ND @ weight_LD.T + bias_L, targets_NL)
        total = entropy + weight_LD.square().sum() / (2 * penalty)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    return weight_LD.detach(), bias_L.detach()


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
