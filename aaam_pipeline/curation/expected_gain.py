"""What a decision is worth: by how much it is expected to raise the average precision of its word.

Shapes: N photographs.

A decision ranks a photograph first (yes) or takes it out (no). Which of both is not known, but calibrated scores say
how likely it is, and how many of the photographs above and below show the word. With p_r the score at rank r,
P = sum p, and c_r = (p_1 + ... + p_r) / r the expected precision there:

    no:   every photograph below moves up a rank:    sum over k > r of  p_k c_k / k       divided by P
    yes:  it becomes the first, and those above gain:  1 - c_r + sum over k < r of  p_k (1 - c_k) / (k + 1)

So what is ranked high and is likely to be wrong is worth most, and what would hardly change a ranking next to nothing,
however uncertain it is (the idea: Roy and McCallum 2001, expected error reduction; the error here is of retrieval).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Gains(NamedTuple):
    """By how much the average precision of a word is expected to rise, both (N,): where it is a yes, where a no."""

    yes_N: Floats
    no_N: Floats

    def expected(self, chance_N: Floats) -> Floats:
        """Return the expected rise (N,), by the chance of a yes."""
        expected_N: Floats = chance_N * self.yes_N + (1 - chance_N) * self.no_N
        return expected_N


def gains(score_N: Floats) -> Gains:
    """Return what deciding each photograph is expected to gain for a word with these calibrated scores, (N,)."""
    order = np.argsort(-score_N, kind="stable")
    p_N = score_N[order]
    rank_N = np.arange(1, len(p_N) + 1)
    precision_N = np.cumsum(p_N) / rank_N
    relevant = max(float(p_N.sum()), 1e-12)
    below_N = np.cumsum((p_N * precision_N / rank_N)[::-1])[::-1]
    above_N = np.cumsum(p_N * (1 - precision_N) / (rank_N + 1))
    yes_N, no_N = np.empty_like(p_N), np.empty_like(p_N)
    no_N[order] = np.append(below_N[1:], 0) / relevant
    yes_N[order] = (1 - precision_N + np.append(0, above_N[:-1])) / relevant
    return Gains(yes_N, no_N)
