"""The paper's losses (Eq. 1 to 5) as pure functions.

Shapes: B batch, L labels, T triplets. A triplet is a row `(row, i, j, k)`: the image's row in the batch, two relevant
labels i and j, an irrelevant label k. Eq. 6, their sum, is in `training.objective`.
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def bce(logits_BL: Tensor, targets_BL: Tensor) -> Tensor:
    """Return Eq. 1: binary cross-entropy summed over labels, averaged over the batch. Its gradient is z-hat - z.

    Targets are 1, 0, or -1 for a label that is unknown: it adds nothing, and its gradient is 0.
    """
    known_BL = (targets_BL >= 0).to(logits_BL.dtype)
    loss = binary_cross_entropy_with_logits(logits_BL, targets_BL.clamp(min=0), weight=known_BL, reduction="sum")
    return loss / len(logits_BL)


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
