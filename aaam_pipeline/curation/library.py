"""What `review` and `health` read of a library: scores of the model, assigned labels, vectors, and what was decided.

Shapes: N photographs, L labels, B photographs that are asked about, K neighbours.

Rooms of one floor never see each other, so this only says what is read; the command line makes it of an index. A label
is read at a time: a million photographs take a few megabytes, whatever the number of labels.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.decision_lines import By
from aaam_pipeline.formats.decisions import Decisions

NO_DIGEST = b"\0" * 32
"""The digest of a photograph whose content is not known: nothing is decided of it."""


class Library(Protocol):
    """Photographs by their row, labels by their column; `digest_N`: SHA-256, S32, `NO_DIGEST` where it is not known."""

    labels: list[str]
    digest_N: NDArray[np.bytes_]

    def scores(self, label: int) -> NDArray[np.float64]:
        """Return the model's calibrated scores of a label, (N,), whatever was decided."""

    def assigned(self, label: int) -> NDArray[np.bool_]:
        """Return which photographs the model assigned a label, (N,)."""

    def neighbours(self, row_B: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return rows and cosines of the nearest other photographs, both (B, K); -1 and 0 where there are fewer."""


class GivenLabels:
    """What was decided of each photograph of a library, a label at a time."""

    def __init__(self, library: Library, decisions: Decisions) -> None:
        """Look the photographs of `library` up in `decisions`."""
        self._decisions = decisions
        self._known_I, self._content_N = np.unique(library.digest_N, return_inverse=True)

    def column(self, label: str, by: By | None = None) -> NDArray[np.int8]:
        """Return what was decided of a label, int8 (N,): 1 yes, 0 no, -1 undecided. `by`: only what these said."""
        value_I = np.full(len(self._known_I), -1, np.int8)
        for digests, value in zip(self._decisions.of_label(label, by), (1, 0), strict=True):
            value_I[self._found(digests)] = value
        return value_I[self._content_N]

    def tagged(self) -> NDArray[np.bool_]:
        """Return which photographs have keywords that files gave them, (N,)."""
        tagged_I = np.zeros(len(self._known_I), np.bool_)
        for label in self._decisions.labels:
            tagged_I[self._found(self._decisions.of_label(label, "file")[0])] = True
        return tagged_I[self._content_N]

    def _found(self, digests: NDArray[np.bytes_]) -> NDArray[np.intp]:
        place = np.searchsorted(self._known_I, digests)
        place[place == len(self._known_I)] = 0
        found: NDArray[np.intp] = place[self._known_I[place] == digests] if len(self._known_I) else place[:0]
        return found
