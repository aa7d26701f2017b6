"""Photographs by their scores alone, as a `curation.library.Library`: what `health` and `review` are measured with.

Shapes: N photographs, L labels, B photographs that are asked about, K neighbours.
"""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


class ScoredLibrary:
    """Calibrated scores (N, L) in memory, and the thresholds (L,) from which on labels are assigned."""

    def __init__(self, labels: list[str], threshold_L: Scores, score_NL: Scores) -> None:
        self.labels, self.threshold_L, self.score_NL = labels, threshold_L, score_NL
        self.hashes = [f"{row + 1:064x}" for row in range(len(score_NL))]
        self.digest_N = np.frombuffer(bytes.fromhex("".join(self.hashes)), "S32")

    def scores(self, label: int) -> Scores:
        return self.score_NL[:, label]

    def assigned(self, label: int) -> NDArray[np.bool_]:
        assigned_N: NDArray[np.bool_] = self.score_NL[:, label] >= self.threshold_L[label]
        return assigned_N

    def neighbours(self, row_B: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        raise NotImplementedError
