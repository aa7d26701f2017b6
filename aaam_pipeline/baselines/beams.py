"""Beam search over label sequences, of many images at once.

Shapes: B images, W hypotheses of the beam, L labels, T labels of a sequence, H numbers of a hidden state.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

State = tuple[Tensor, ...]
"""Hidden states, each (B * W, H)."""
Step = Callable[[State, Tensor], tuple[Tensor, State]]
"""(states, last labels (B * W,), L at the start) -> logits of the next label or the end, (B * W, L + 1), and states."""


class Beams(NamedTuple):
    """The best sequences, likeliest first.

    `labels_BWT`: -1 after the end; `log_p_BW`: -inf where there are fewer than W sequences; `present_BL`: the
    probability that the sequence has the label.
    """

    labels_BWT: Tensor
    log_p_BW: Tensor
    present_BL: Tensor


class _Hypotheses(NamedTuple):
    labels_BWT: Tensor
    log_p_BW: Tensor
    ended_BW: Tensor
    used_BWL: Tensor


def search(step: Step, state: State, images: int, labels: int, width: int, longest: int) -> Beams:
    """Return the `width` likeliest sequences of distinct labels that the search finds, of `longest` labels at most.

    A sequence's probability is the product of its labels' and the end sign's; a sequence of `longest` labels needs no
    end sign. A label that is in the sequence is left out of the softmax.

    `present_BL` sums, over the steps, the probability that the label comes next, over the hypotheses of the beam in
    proportion to their probability. It is exact as long as the beam holds every sequence, and positive for labels of no
    sequence in it. `state` is that of one hypothesis an image, (B, H) each.
    """
    device = state[0].device
    state = tuple(each_BH.repeat_interleave(width, 0) for each_BH in state)
    log_p_BW = torch.full((images, width), -torch.inf, device=device)
    log_p_BW[:, 0] = 0
    beam = _Hypotheses(
        torch.full((images, width, longest), -1, device=device),
        log_p_BW,
        torch.zeros((images, width), dtype=torch.bool, device=device),
        torch.zeros((images, width, labels), dtype=torch.bool, device=device),
    )
    present_BL = torch.zeros((images, labels), device=device)
    last_M = torch.full((images * width,), labels, device=device)
    for position in range(longest):
        logits_M, state = step(state, last_M)
        # of the next label or the end, without the labels that are used
        logits_BWl = logits_M.view(images, width, labels + 1).clone()
        logits_BWl[:, :, :labels].masked_fill_(beam.used_BWL, -torch.inf)
        log_q_BWl = logits_BWl.log_softmax(2)
        share_BW = beam.log_p_BW.softmax(1) * ~beam.ended_BW
        present_BL += torch.einsum("bw,bwl->bl", share_BW, log_q_BWl[:, :, :labels].exp())
        beam, from_BW = _grow(beam, log_q_BWl, position)
        rows_M = (torch.arange(images, device=device)[:, None] * width + from_BW).flatten()
        state = tuple(each[rows_M] for each in state)
        # an ended hypothesis is stepped on with any label and counts for nothing
        last_M = beam.labels_BWT[:, :, position].clamp(min=0).flatten()
        if bool(beam.ended_BW.all()):
            break
    return Beams(beam.labels_BWT, beam.log_p_BW, present_BL.clamp(max=1))


def _grow(beam: _Hypotheses, log_q_BWl: Tensor, position: int) -> tuple[_Hypotheses, Tensor]:
    """Return the best continuations, and the hypothesis that each continues, (B, W)."""
    images, width, options = log_q_BWl.shape
    end = options - 1
    # what has ended stays as it is: its one continuation is the end again, for nothing
    stay_l = torch.full((options,), -torch.inf, device=log_q_BWl.device)
    stay_l[end] = 0
    log_q_BWl = torch.where(beam.ended_BW[:, :, None], stay_l, log_q_BWl)
    log_p_BC = (beam.log_p_BW[:, :, None] + log_q_BWl).view(images, width * options)
    log_p_BW, chosen_BW = log_p_BC.topk(width, dim=1)
    from_BW, label_BW = chosen_BW // options, chosen_BW % options
    labels_BWT = beam.labels_BWT.gather(1, from_BW[:, :, None].expand_as(beam.labels_BWT)).clone()
    used_BWL = beam.used_BWL.gather(1, from_BW[:, :, None].expand_as(beam.used_BWL)).clone()
    ended_BW = label_BW == end
    labels_BWT[:, :, position] = torch.where(ended_BW, -1, label_BW)
    used_BWL.scatter_(2, label_BW.clamp(max=end - 1)[:, :, None], True)
    # what is impossible is no hypothesis to continue
    return _Hypotheses(labels_BWT, log_p_BW, ended_BW | log_p_BW.isneginf(), used_BWL), from_BW
