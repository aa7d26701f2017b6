"""The FAISS half of an index: unit embeddings in half precision, compared by inner product (cosine).

Shapes: B vectors, D embedding. A flat index is exact, needs no training and its file is what its rows are; row = id.
"""

import hashlib
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError

COMPARED = 16384
"""Vectors that a block is compared with at once."""
ROUNDING = 1e-3
"""Vectors are stored in half precision: the cosine of a vector with itself may miss 1 by this much."""


class VectorsBuilder:
    """Collects vectors batch by batch and writes the index."""

    def __init__(self, dim: int) -> None:
        """Make an empty index for vectors of `dim`."""
        self._index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._index.is_trained = True

    def add(self, embedding_BD: NDArray[np.floating]) -> None:
        """Add embeddings in the order of their ids."""
        self._index.add(unit(embedding_BD))

    def write(self, path: Path) -> None:
        """Write the index file."""
        faiss.write_index(self._index, str(path))


class Vectors:
    """Reads an index written by `VectorsBuilder`, without loading it into memory twice."""

    def __init__(self, file: BufferedReader, count: int, dim: int, sha256: str) -> None:
        """Read from an open file, which may have been replaced by another since.

        Raises:
            IntegrityError: it is not the file with this SHA-256, or does not hold `count` vectors of `dim`.
        """
        path, handle = file.name, f"/dev/fd/{file.fileno()}"
        # FAISS keeps no checksums: a flipped bit would give other neighbours. Reading it all is what a search does, too
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise IntegrityError(f"{path} is damaged: not the file that its manifest names; build the index again")
        try:
            self._index = faiss.read_index(
                handle if Path(handle).exists() else path, faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY
            )
        except RuntimeError as error:
            raise IntegrityError(f"{path} is damaged: {str(error).splitlines()[-1]}") from None
        if (self._index.ntotal, self._index.d) != (count, dim):
            raise IntegrityError(f"{path} holds {self._index.ntotal} vectors of {self._index.d}, not {count} of {dim}")

    def get(self, id: int) -> NDArray[np.float32]:
        """Return the stored unit vector (D,) of an image."""
        return np.asarray(self._index.reconstruct(id), dtype=np.float32)

    def cosines(self, ids: Sequence[int], vector_D: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the cosine of each image's vector with a vector."""
        if not len(ids):
            return np.zeros(0, dtype=np.float32)
        stored_ND = self._index.reconstruct_batch(np.asarray(ids, dtype=np.int64))
        return np.asarray(stored_ND @ unit(vector_D[None])[0], dtype=np.float32)

    def nearest(self, vector_D: NDArray[np.floating], top: int) -> list[tuple[int, float]]:
        """Return (id, cosine) of the `top` nearest images and of all that are as near as the last, nearest first."""
        total, want = self._index.ntotal, top + 1
        while True:
            cosines, ids = self._index.search(unit(vector_D[None]), min(want, total))
            found = [(int(id), float(cosine)) for id, cosine in zip(ids[0], cosines[0], strict=True) if id >= 0]
            # equal photographs are equally near: which of them FAISS gives when not all fit in is chance
            if len(found) < want or found[-1][1] < found[top - 1][1]:
                least = found[:top][-1][1] if found else 0.0
                return [each for each in found if each[1] >= least]
            want *= 4

    def alike(self, cosine: float, block: int) -> Iterator[tuple[range, list[NDArray[np.int64]]]]:
        """Yield, block by block, the ids of images and for each the later ids whose vectors are at least so near."""
        total = self._index.ntotal
        for start in range(0, total, block):
            ids = range(start, min(start + block, total))
            block_BD = self._index.reconstruct_n(ids.start, len(ids))
            later: list[list[NDArray[np.int64]]] = [[] for _ in ids]
            for other in range(start, total, COMPARED):
                others_ND = self._index.reconstruct_n(other, min(COMPARED, total - other))
                near_BN = block_BD @ others_ND.T >= cosine - ROUNDING
                for row in np.flatnonzero(near_BN.any(axis=1)):
                    found = np.flatnonzero(near_BN[row]) + other
                    later[row].append(found[found > ids[row]])
            yield ids, [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in later]


def unit(vectors_BD: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the vectors scaled to length 1; a zero vector stays zero."""
    wide = np.asarray(vectors_BD, dtype=np.float32)
    return np.ascontiguousarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12), dtype=np.float32)
