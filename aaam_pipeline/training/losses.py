"""The paper's losses (Eq. 1 to 6) as pure functions.

Shapes: B batch, L labels, T triplets. A triplet is a row `(row, i, j, k)`: the image's place in the batch, two relevant
labels i and j, an irrelevant label k.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def bce(logits_BL: Tensor, targets_BL: Tensor) -> Tensor:
    """Return Eq. 1: binary cross-entropy summed over labels, averaged over the batch. Its gradient is z-hat - z."""
    return binary_cross_entropy_with_logits(logits_BL, targets_BL, reduction="sum") / len(logits_BL)


def triplet_margin(probs_BL: Tensor, triplets_T4: Tensor, margin: float, reduction: str = "mean") -> Tensor:
    """Return Eq. 4: 1/2 * max(0, m + D_ij - D_ik) with D_ab = (z_a - z_b)^2, `mean` over triplets or their `sum`.

    It pulls the relevant j to the relevant i and pushes the irrelevant k away from i, in either direction: alone it can
    also push an irrelevant label further *above* a relevant one. The cross-entropy beside it gives the direction.
    No triplets give 0, with a gradient of 0.

    The gradient with respect to z_i, where the hinge is active, is z_k - z_j (Eq. 5).
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be 'mean' or 'sum', not {reduction!r}")
    row_T, i_T, j_T, k_T = triplets_T4.unbind(1)
    z_i, z_j, z_k = probs_BL[row_T, i_T], probs_BL[row_T, j_T], probs_BL[row_T, k_T]
    total = torch.relu(margin + (z_i - z_j) ** 2 - (z_i - z_k) ** 2).sum() / 2
    return total / max(len(triplets_T4), 1) if reduction == "mean" else total


class Joint(NamedTuple):
    """Eq. 6 and its terms, all scalars: `loss` = `bce` + lambda * `triplet_margin`."""

    loss: Tensor
    bce: Tensor
    triplet_margin: Tensor


def joint(logits_BL: Tensor, targets_BL: Tensor, triplets_T4: Tensor, margin: float, weight: float) -> Joint:
    """Return Eq. 6: L_BCE + lambda * L_TM, where `weight` is lambda and L_TM is averaged over the batch's triplets."""
    cross_entropy = bce(logits_BL, targets_BL)
    margin_loss = triplet_margin(logits_BL.sigmoid(), triplets_T4, margin)
    return Joint(cross_entropy + weight * margin_loss, cross_entropy, margin_loss)


def warp(logits_BL: Tensor, targets_BL: Tensor, margin: float, generator: torch.Generator | None = None) -> Tensor:
    """Return the WARP loss of label ranking, averaged over the batch (Weston et al. 2011; Gong et al. 2013, Eq. 5).

    For every relevant label p, irrelevant ones are tried in random order until one, n, violates the margin:
    m - f_p + f_n > 0. If that was the N-th of Y irrelevant labels, p's rank is estimated as Y / N, rounded down, and
    p adds L(rank) * (m - f_p + f_n) with L(r) = 1 + 1/2 + ... + 1/r. Labels are tried without replacement (WSABIE puts
    them back), so a label that no irrelevant one violates is known to add nothing.
    """
    row_A, p_A = (targets_BL > 0).nonzero(as_tuple=True)
    if not len(row_A):
        return logits_BL.sum() * 0
    irrelevant_AL = targets_BL[row_A] <= 0
    hinge_AL = (margin - logits_BL[row_A, p_A][:, None] + logits_BL[row_A]).masked_fill(~irrelevant_AL, 0)
    luck_AL = torch.rand(hinge_AL.shape, generator=generator, device=generator.device if generator else None)
    luck_AL = luck_AL.to(logits_BL.device).masked_fill(~irrelevant_AL, torch.inf)
    first_A1 = luck_AL.masked_fill(hinge_AL.detach() <= 0, torch.inf).argmin(1, keepdim=True)
    tried_A = (irrelevant_AL & (luck_AL <= luck_AL.gather(1, first_A1))).sum(1)
    rank_A = irrelevant_AL.sum(1) // tried_A.clamp(min=1)
    harmonic = (1 / torch.arange(1, logits_BL.shape[1] + 1, device=logits_BL.device)).cumsum(0)
    violated_A = torch.relu(hinge_AL.gather(1, first_A1)[:, 0])
    return (harmonic[(rank_A - 1).clamp(min=0)] * violated_A).sum() / len(logits_BL)
