"""What curation reads of an index: `curation.library.Library`, from the reader of `search`.

Shapes: N photographs, B photographs that are asked about, K neighbours.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.curation.library import NO_DIGEST
from aaam_pipeline.formats import ranking

if TYPE_CHECKING:
    from aaam_pipeline.search import Hit, Index


class IndexedLibrary:
    """The photographs of an open index; rows are its ids."""

    def __init__(self, index: "Index") -> None:
        """Read digests and assigned labels: 32 bytes a photograph, and 8 for each label that one has."""
        self._index = index
        # the model's words, then those that were taught
        self.labels, self._known = index.manifest.labels, len(index.manifest.vocabulary)
        found = index.select_columns("SELECT coalesce(sha256, '') AS sha256 FROM images ORDER BY id")
        hashes = found["sha256"].tolist()
        known = [each if len(each) == 64 else NO_DIGEST.hex() for each in hashes]
        self.digest_N: NDArray[np.bytes_] = np.frombuffer(bytes.fromhex("".join(known)), "S32")
        pairs = index.select_columns(
            "SELECT given.id, known.label FROM (SELECT id, unnest(labels) AS name FROM images) AS given "
            "JOIN (SELECT unnest($1::VARCHAR[]) AS name, unnest($2::INTEGER[]) AS label) AS known USING (name) "
            "ORDER BY label",
            [self.labels[: self._known], list(range(self._known))],
        )
        self._assigned = np.asarray(pairs["id"], np.int64)
        self._bounds = np.searchsorted(np.asarray(pairs["label"]), np.arange(self._known + 1))

    def scores(self, label: int) -> NDArray[np.float64]:
        """Return the model's calibrated scores of a label, (N,)."""
        return ranking.decode(self._index.columns.read_codes(label))

    def assigned(self, label: int) -> NDArray[np.bool_]:
        """Return which photographs were assigned a label, (N,)."""
        assigned_N = np.zeros(len(self.digest_N), np.bool_)
        if label < self._known:
            assigned_N[self._assigned[self._bounds[label] : self._bounds[label + 1]]] = True
        else:
            assigned_N[self._index.taught.assigned_to(label)] = True
        return assigned_N

    def neighbours(self, row_B: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return ids and cosines of the nearest other photographs, both (B, K)."""
        return self._index.vectors.neighbours(row_B, count)

    def sha256(self, row: int) -> str | None:
        """Return the SHA-256 of a photograph, in hex; None where it is not known."""
        digest = self.digest_N[row : row + 1].tobytes()
        return None if digest == NO_DIGEST else digest.hex()

    def hits(self, row_B: list[int]) -> "list[Hit]":
        """Return photographs as hits without scores, in the order given."""
        from aaam_pipeline.search import Hit

        rows = self._index.select(
            "SELECT id, path, root, labels FROM images WHERE id IN (SELECT unnest($1::BIGINT[]))", [row_B]
        )
        found = {id: Hit(path, located(root, self._index.folder), 0.0, labels, {}) for id, path, root, labels in rows}
        return [found[row] for row in row_B]
