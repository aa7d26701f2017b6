"""The columns of taught words of an index, as they are read.

Shapes: N images, W words.
"""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats import ranking
from aaam_pipeline.index.manifest import TAUGHT, IndexManifest, rebuilding


class TaughtCodes:
    """Reads the file that `taught` writes; mapped: it stays readable while the index is replaced, and after a fork."""

    def __init__(self, folder: Path, manifest: IndexManifest) -> None:
        """Open the file, if the index has one."""
        self._path, self._manifest = folder / TAUGHT, manifest
        self._checked = False
        shape = (len(manifest.taught), manifest.images)
        self._codes_WN: NDArray[np.uint16] = (
            np.memmap(self._path, "<u2", "r", shape=shape) if manifest.taught else np.zeros(shape, np.uint16)
        )
        thresholds = np.array([column.threshold for column in manifest.taught], np.float64)
        self._threshold_W = ranking.encode(thresholds)

    def codes_of(self, label: int) -> NDArray[np.uint16] | None:
        """Return the codes of a word (N,), by its id, which follows those of the model's labels; None: it is of those.

        Raises:
            IntegrityError: the file is damaged.
        """
        if (word := label - len(self._manifest.vocabulary)) < 0:
            return None
        if not self._checked:
            if hashlib.sha256(self._codes_WN.data).hexdigest() != self._manifest.sha256[TAUGHT]:
                raise IntegrityError(f"{self._path} is damaged; {rebuilding(self._path.parent)}")
            self._checked = True
        return np.asarray(self._codes_WN[word])

    def assigned_to(self, label: int) -> NDArray[np.int64]:
        """Return which images get a word, by its id.

        Raises:
            IntegrityError: the file is damaged.
        """
        codes_N = self.codes_of(label)
        word = label - len(self._manifest.vocabulary)
        return np.empty(0, np.int64) if codes_N is None else np.flatnonzero(codes_N >= self._threshold_W[word])

    def assigned(self, ids: list[int]) -> list[list[str]]:
        """Return for each of some images which taught words it gets."""
        labels = [column.label for column in self._manifest.taught]
        reached_BW = (self._codes_WN[:, ids] >= self._threshold_W[:, None]).T
        return [[label for label, reached in zip(labels, row, strict=True) if reached] for row in reached_BW]
