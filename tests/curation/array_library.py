"""A library of made-up photographs, as `review` and `health` read one; and their decisions."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.decisions import Decision, Decisions, resolve
from aaam_pipeline.metrics.neighbours import nearest


class ArrayLibrary:
    """Scores and embeddings in memory; labels are assigned from `threshold` on."""

    def __init__(
        self, scores_NL: NDArray[np.floating], embedding_ND: NDArray[np.floating] | None = None, threshold: float = 0.5
    ) -> None:
        self.scores_NL, self.threshold = np.asarray(scores_NL, np.float64), threshold
        count, labels = self.scores_NL.shape
        self.labels = [f"label {number}" for number in range(labels)]
        self.embedding_ND = embedding_ND
        self.digest_N = np.frombuffer(bytes.fromhex("".join(map(sha256, range(count)))), "S32")
        self.asked: list[NDArray[np.intp]] = []

    def scores(self, label: int) -> NDArray[np.float64]:
        return self.scores_NL[:, label]

    def assigned(self, label: int) -> NDArray[np.bool_]:
        return self.scores_NL[:, label] >= self.threshold

    def neighbours(self, row_B: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        self.asked.append(row_B)
        if self.embedding_ND is None:
            return np.full((len(row_B), count), -1), np.zeros((len(row_B), count), np.float32)
        ids, cosines = nearest(self.embedding_ND, count)
        return ids[row_B], cosines[row_B]


def sha256(row: int) -> str:
    return f"{row + 1:064x}"


def decided(pairs: Iterable[tuple[int, str, bool]], by: str = "person") -> Decisions:
    return resolve(
        Decision(
            sha256=sha256(row),
            label=label,
            value="yes" if yes else "no",
            by=by,  # type: ignore[arg-type]
            source="test",
            at="2026-11-29T10:00:00Z",
        )
        for row, label, yes in pairs
    )
