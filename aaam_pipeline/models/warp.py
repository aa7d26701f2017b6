"""The WARP loss, which training and the compared methods share: the weighted approximate-rank pairwise loss.

Shapes: B images of a batch, L labels, A pairs of an image and a relevant label.

Sources: Weston, Bengio and Usunier 2011, "WSABIE" (Algorithm 1); Gong et al. 2013, "Deep convolutional ranking for
multilabel image annotation" (section 3.2, 3), for images with several labels.
"""

import torch
from torch import Tensor


def warp_loss(logits_BL: Tensor, targets_BL: Tensor, margin: float, generator: torch.Generator) -> Tensor:
    """Return the sampled WARP loss, averaged over the batch.

    For a relevant label p, irrelevant ones are drawn, and put back, until one, n, violates the margin:
    m - f_p + f_n > 0. If it took N draws of Y irrelevant labels, p's rank is estimated as Y / N, rounded down, and p
    adds L(rank) (m - f_p + f_n), L(r) = 1 + 1/2 + ... + 1/r. After Y draws it is given up: rank 0, nothing added.

    With v violating labels N is geometric, P(N = t) = q (1 - q)^(t - 1) with q = v / Y, and n is any of them: so both
    are drawn at once, and no label is tried in vain. A label of target -1, unknown, is neither relevant nor irrelevant.
    """
    row_A, p_A = (targets_BL > 0).nonzero(as_tuple=True)
    if not len(row_A):
        return logits_BL.sum() * 0
    irrelevant_AL = targets_BL[row_A] == 0
    hinge_AL = margin - logits_BL[row_A, p_A][:, None] + logits_BL[row_A]
    violating_AL = irrelevant_AL & (hinge_AL.detach() > 0)
    irrelevant_A, violating_A = irrelevant_AL.sum(1), violating_AL.sum(1)
    uniform_A, uniform_AL = (
        torch.rand(size, generator=generator).to(logits_BL.device) for size in (len(row_A), hinge_AL.shape)
    )
    n_A1 = uniform_AL.masked_fill(~violating_AL, -1).argmax(1, keepdim=True)
    rank_A = (irrelevant_A / _draws(uniform_A, violating_A / irrelevant_A.clamp(min=1))).floor().long()
    harmonic = torch.cat([torch.zeros(1), (1 / torch.arange(1, logits_BL.shape[1] + 1)).cumsum(0)]).to(logits_BL.device)
    return (harmonic[rank_A] * torch.relu(hinge_AL.gather(1, n_A1)[:, 0])).sum() / len(logits_BL)


def _draws(uniform_A: Tensor, probability_A: Tensor) -> Tensor:
    """Return draws until the first success, of uniform numbers in [0, 1); infinite for a probability of 0."""
    draws_A = 1 + (torch.log1p(-uniform_A) / torch.log1p(-probability_A)).floor()
    return torch.where(probability_A > 0, draws_A, torch.inf)
