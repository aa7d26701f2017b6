"""Which label triplets the margin loss looks at (section 4.3, Algorithm 1, section 5.4).

Shapes: B batch, L labels, A anchors, T <= A triplets. No loop over images: an anchor is a pair (image, label i).

An image's labels are ranked by score, ties by label order. `i` runs over its top-ranking relevant labels (rank <= k),
or is its best relevant label where none of them is in the top k. `j` is a relevant label ranked below `i`, one ranked
below k (not yet detected) where there is one. `k` is one of the k best-scored irrelevant labels. An image with fewer
than two relevant labels, or without an irrelevant one, gives no triplet.

Targets are 1, relevant, 0, irrelevant, or -1, unknown: an unknown label has no rank and no role.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Candidates(NamedTuple):
    """For each of A anchors its image `row_A` and label `i_A`, and which labels may be `j` and `k` (A, L)."""

    row_A: Tensor
    i_A: Tensor
    j_AL: Tensor
    k_AL: Tensor


def sample(probs_BL: Tensor, targets_BL: Tensor, k: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw one triplet for every anchor, `j` and `k` uniformly among their candidates.

    Returns int64 (T, 4) rows `(row, i, j, k)`.
    """
    candidates = find(probs_BL, targets_BL, k)
    shape = candidates.j_AL.shape
    noise_2AL = torch.rand((2, *shape), generator=generator, device=generator.device if generator else None)
    noise_2AL = noise_2AL.to(probs_BL.device)
    j_A = noise_2AL[0].masked_fill(~candidates.j_AL, -1).argmax(1)
    k_A = noise_2AL[1].masked_fill(~candidates.k_AL, -1).argmax(1)
    return torch.stack([candidates.row_A, candidates.i_A, j_A, k_A], dim=1)


def hardest(probs_BL: Tensor, targets_BL: Tensor, k: int) -> Tensor:
    """Return for every anchor the triplet that maximises the margin loss: largest D_ij, smallest D_ik; int64 (T, 4)."""
    candidates = find(probs_BL, targets_BL, k)
    probs_AL = probs_BL.detach()[candidates.row_A]
    distance_AL = (probs_AL - probs_AL.gather(1, candidates.i_A[:, None])) ** 2
    j_A = distance_AL.masked_fill(~candidates.j_AL, -1).argmax(1)
    k_A = distance_AL.masked_fill(~candidates.k_AL, torch.inf).argmin(1)
    return torch.stack([candidates.row_A, candidates.i_A, j_A, k_A], dim=1)


def find(probs_BL: Tensor, targets_BL: Tensor, k: int) -> Candidates:
    """Return all anchors of a batch that have a `j` and a `k`, with their candidates."""
    relevant_BL = targets_BL > 0
    order_BL = probs_BL.detach().masked_fill(targets_BL < 0, -torch.inf).argsort(dim=1, descending=True, stable=True)
    rank_BL = order_BL.argsort(dim=1)
    best_B1 = rank_BL.masked_fill(~relevant_BL, rank_BL.shape[1]).amin(1, keepdim=True)
    # the best relevant label stands in where no relevant label is among the k best
    anchor_BL = relevant_BL & ((rank_BL < k) | (rank_BL == best_B1))
    row_A, i_A = anchor_BL.nonzero(as_tuple=True)

    below_AL = relevant_BL[row_A] & (rank_BL[row_A] > rank_BL[row_A, i_A][:, None])
    undetected_AL = below_AL & (rank_BL[row_A] >= k)
    j_AL = torch.where(undetected_AL.any(1, keepdim=True), undetected_AL, below_AL)

    irrelevant_BL = targets_BL == 0
    irrelevant_by_rank_BL = irrelevant_BL.gather(1, order_BL)
    among_best_BL = irrelevant_by_rank_BL & (irrelevant_by_rank_BL.cumsum(1) <= k)
    k_AL = among_best_BL.gather(1, rank_BL)[row_A]

    usable_A = j_AL.any(1) & k_AL.any(1)
    return Candidates(row_A[usable_A], i_A[usable_A], j_AL[usable_A], k_AL[usable_A])
