"""The FAISS half of an index, as it is read: unit embeddings, compared by inner product (cosine).

Shapes: B vectors, D embedding.

Row = id. A flat index compares a vector with all others; an IVF index (Jégou, Douze and Schmid 2011) with those of the
lists whose centres are nearest. `vector_builders` writes both, and chooses.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BufferedReader
from pathlib import Path
from threading import Lock
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError, VersionError
from aaam_pipeline.index.manifest import VECTORS, IndexManifest, rebuilding

HEAD = 100
"""Images at the head of an answer that come from a few lists."""
BLOCK = 4096
"""Vectors that are decoded at once."""
ROUNDING = {"fp16": 1e-3, "sq8": 2e-2}
"""By how much the cosine of a stored vector with itself may miss 1."""


class Vectors:
    """Reads an index written by `vector_builders`, without loading it into memory twice."""

    def __init__(
        self, file: BufferedReader, manifest: IndexManifest, *, use_gpu: bool = False, just_written: bool = False
    ) -> None:
        """Read from an open file of the index with this manifest; it may have been replaced by another since.

        `use_gpu`: search on the GPUs, if there are any; worth the copying only for many searches. `just_written`: the
        manifest has no hash of the file yet.

        Raises:
            IntegrityError: it is not the file that the manifest names, or does not hold its vectors.
            VersionError: it is, and this FAISS cannot read it.
        """
        path, expected = file.name, (manifest.images, manifest.embedding_dim)
        self.info = manifest.vectors
        # FAISS keeps no checksums: a flipped bit would give other neighbours
        if not just_written and _sha256(file) != manifest.sha256[VECTORS]:
            raise IntegrityError(
                f"{path} is damaged: not the file that its manifest names; {rebuilding(Path(path).parent)}"
            )
        try:
            self.faiss_index = _read(file, faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        except RuntimeError as error:
            # the file is as it was written
            reason = str(error).splitlines()[-1]
            raise VersionError(f"{path} is nothing for FAISS {faiss.__version__}: {reason}; build it again") from None
        if (found := (self.faiss_index.ntotal, self.faiss_index.d)) != expected:
            raise IntegrityError("{} holds {} vectors of {}, not {} of {}".format(path, *found, *expected))
        self._lists = self.faiss_index.nlist if isinstance(self.faiss_index, faiss.IndexIVF) else 0
        self.rounding = ROUNDING["sq8" if self.faiss_index.sq.qtype == faiss.ScalarQuantizer.QT_8bit else "fp16"]
        if self._lists:
            # else FAISS starts 32 threads in every search to read lists ahead: three times the time of the search
            faiss.downcast_InvertedLists(self.faiss_index.invlists).prefetch_nthread = 0
        on_gpu = use_gpu and gpu_available()
        # read once more and not mapped: what is copied to GPUs comes from memory
        self._searcher = _on_gpu(_read(file, 0)) if on_gpu else self.faiss_index
        self._mapping = Lock()
        # an index on a GPU is not for several threads at once
        self._turn: AbstractContextManager[Any] = Lock() if on_gpu else nullcontext()

    def get(self, id: int) -> NDArray[np.float32]:
        """Return the stored vector (D,) of an image, of length 1 but for rounding."""
        return np.asarray(self._fetching().reconstruct(id), dtype=np.float32)

    def stored(self, first: int, count: int) -> NDArray[np.float32]:
        """Return the stored vectors (B, D) of the images from `first` on."""
        return np.asarray(self._fetching().reconstruct_n(first, count), dtype=np.float32)

    def cosines(self, ids: Sequence[int], vector_D: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the cosine of each image's vector with a vector."""
        return np.asarray(self.some(ids) @ unit(vector_D[None])[0], dtype=np.float32)

    def some(self, ids: Sequence[int] | NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the stored vectors (B, D) of some images."""
        if not len(ids):
            return np.zeros((0, self.faiss_index.d), np.float32)
        with _one_thread():
            stored_BD = self._fetching().reconstruct_batch(np.asarray(ids, dtype=np.int64))
        return np.asarray(stored_BD, np.float32)

    def products(self, weight_WD: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the inner product of every image's vector with some weights, (N, W), in the order of their ids."""
        found_NW = np.empty((self.faiss_index.ntotal, len(weight_WD)), np.float32)
        weight_DW = np.ascontiguousarray(np.asarray(weight_WD, np.float32).T)
        for ids, block_BD in self._blocks():
            found_NW[ids] = block_BD @ weight_DW
        return found_NW

    def _blocks(self) -> Iterator[tuple[slice | NDArray[np.int64], NDArray[np.float32]]]:
        """Yield ids, and the stored vectors (B, D) of them, in the order in which they lie in the file."""
        if not self._lists:
            for first in range(0, self.faiss_index.ntotal, BLOCK):
                count = min(BLOCK, self.faiss_index.ntotal - first)
                yield slice(first, first + count), self.stored(first, count)
            return
        lists = self.faiss_index.invlists
        for number in range(self._lists):
            if size := lists.list_size(number):
                ids = faiss.rev_swig_ptr(lists.get_ids(number), size).copy()
                codes = faiss.rev_swig_ptr(lists.get_codes(number), size * lists.code_size).reshape(size, -1)
                yield ids, self.faiss_index.sq.decode(codes)

    def nearest(self, vector_D: NDArray[np.floating], top: int, *, exact: bool = False) -> list[tuple[int, float]]:
        """Return (id, cosine) of the `top` nearest images and of all that are as near as the last, nearest first.

        `exact`: of all images; else the first `HEAD` are of the lists compared, and only what follows is of all.
        """
        if not self._lists or exact:
            return self._search(vector_D, top, self._lists)
        found = self._search(vector_D, min(top, HEAD), 0)
        if len(found) >= top:
            return found
        least, want = found[-1][1] if found else np.inf, top
        while True:
            # the head stays as it is: a longer answer begins with the shorter ones
            after = [each for each in self._search(vector_D, want, self._lists) if each[1] < least]
            if len(found) + len(after) >= top or want >= self.faiss_index.ntotal:
                return found + after
            want *= 2

    def neighbours(self, ids: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return ids and cosines of the other images nearest to each of many, (B, K), nearest first; -1: there are few.

        A flat index is compared whole; of lists, those that it was tuned for. All cores compute.
        """
        query_BD = self._fetching().reconstruct_batch(np.asarray(ids, np.int64))
        if self._lists:
            with self._turn:
                cosine_BK, id_BK = self._searcher.search(query_BD, count + 1)
        else:
            cosine_BK, id_BK = _nearest_of_all(query_BD, self, count + 1)
        # each photograph finds itself, unless as many are its equals
        own_BK = id_BK == np.asarray(ids)[:, None]
        own_BK[~own_BK.any(1), -1] = True
        shape = (len(ids), id_BK.shape[1] - 1)
        return id_BK[~own_BK].reshape(shape).astype(np.intp), cosine_BK[~own_BK].reshape(shape)

    def after_fork(self) -> None:
        """Make this usable in a child that was just forked."""
        # the threads of OpenMP are the parent's: FAISS would wait for them for ever
        faiss.omp_set_num_threads(1)
        self._mapping = Lock()
        if not isinstance(self._turn, nullcontext):
            self._turn = Lock()

    def _search(self, vector_D: NDArray[np.floating], top: int, probes: int) -> list[tuple[int, float]]:
        """Search `probes` lists; 0: as many as the index was tuned for."""
        total, want = self.faiss_index.ntotal, top + 1
        parameters = faiss.SearchParametersIVF(nprobe=probes) if probes else None
        query_BD = unit(vector_D[None])
        while True:
            with self._turn, _one_thread():
                cosines, ids = self._searcher.search(query_BD, min(want, total), params=parameters)
            found = [(int(id), float(cosine)) for id, cosine in zip(ids[0], cosines[0], strict=True) if id >= 0]
            # equal photographs are equally near: which of them FAISS returns when not all fit is undefined
            if len(found) < want or found[-1][1] < found[top - 1][1]:
                least = found[:top][-1][1] if found else 0.0
                return [each for each in found if each[1] >= least]
            want *= 4

    def _fetching(self) -> Any:
        """Return the index, ready to return vectors by their ids: lists need a map from ids for that."""
        if self._lists:
            with self._mapping:
                # once: FAISS keeps it
                self.faiss_index.make_direct_map()
        return self.faiss_index


def _nearest_of_all(
    query_BD: NDArray[np.float32], vectors: Vectors, count: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return cosines and ids of the nearest images, both (B, `count`): block by block, as products of matrices.

    FAISS decodes a vector of half precision anew for every query: that takes ten times as long.
    """
    total = vectors.faiss_index.ntotal
    best_BK = np.full((len(query_BD), count), -np.inf, np.float32)
    id_BK = np.full((len(query_BD), count), -1, np.intp)
    for first in range(0, total, BLOCK):
        cosine_BN = query_BD @ vectors.stored(first, min(BLOCK, total - first)).T
        cosines = np.concatenate([best_BK, cosine_BN], axis=1)
        place_BK = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        place_BK = np.take_along_axis(
            place_BK, np.argsort(-np.take_along_axis(cosines, place_BK, 1), axis=1, kind="stable"), 1
        )
        best_BK = np.take_along_axis(cosines, place_BK, 1)
        known_BK = np.take_along_axis(id_BK, np.minimum(place_BK, count - 1), 1)
        id_BK = np.where(place_BK < count, known_BK, first + place_BK - count)
    return np.where(id_BK >= 0, best_BK, 0), id_BK


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let FAISS compute in this thread alone: it divides no single query, and yet would start a team of threads."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def unit(vectors_BD: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the vectors scaled to length 1; a zero vector stays zero."""
    wide = np.asarray(vectors_BD, dtype=np.float32)
    return np.ascontiguousarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def open_vectors(folder: Path, manifest: IndexManifest) -> Vectors:
    """Return the vectors of the index in a folder; raises what `Vectors` raises."""
    # the file is mapped: it may be closed
    with (folder / VECTORS).open("rb") as file:
        return Vectors(file, manifest)


def write_faiss(index: Any, path: Path) -> None:
    """Write a FAISS index; OSError where there is no room (FAISS itself may overlook that)."""
    with path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write, 2**20))


def gpu_available() -> bool:
    """Return whether FAISS was built for GPUs and finds one. Nothing of it was run on a GPU so far."""
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def to_gpus(index: Any) -> Any:
    """Return a copy of a FAISS index on all GPUs, or the index itself where there is none."""
    return faiss.index_cpu_to_all_gpus(index) if gpu_available() else index


def _on_gpu(index: Any) -> Any:
    """Return a copy on the GPUs, which have a flat index of half precision of their own kind."""
    if isinstance(index, faiss.IndexIVF):
        return to_gpus(index)
    flat = faiss.IndexFlatIP(index.d)
    flat.add(index.reconstruct_n(0, index.ntotal))
    options = faiss.GpuMultipleClonerOptions()
    options.useFloat16 = True
    return faiss.index_cpu_to_all_gpus(flat, options)


def _read(file: BufferedReader, flags: int) -> Any:
    """Return the FAISS index in an open file; RuntimeError if it holds none."""
    return faiss.read_index(_name(file), flags)


def _name(file: BufferedReader) -> str:
    """Return a path that leads to an open file, also where another has taken its name."""
    handle = f"/dev/fd/{file.fileno()}"
    return handle if Path(handle).exists() else file.name


def _sha256(file: BufferedReader) -> str:
    # opened anew: children that were forked share the position of a file
    with Path(_name(file)).open("rb") as own:
        own.seek(0)
        return hashlib.file_digest(own, "sha256").hexdigest()
