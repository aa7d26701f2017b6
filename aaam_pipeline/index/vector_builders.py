"""How the vectors of an index are stored, and the builders that write them.

Shapes: B vectors of a batch, N images, D embedding, Q queries, K found.

Up to `FLAT_IMAGES` a flat index in half precision: exact, nothing to train, and 5 ms a search. Above that an IVF index,
which compares only the lists whose centres are nearest, as many as a recall of `TARGET_RECALL` needs: in half precision
if that fits into the memory allowed, else with 8 bits a number.

Recall is recall@10 of images of the index: a query is an image's own vector, and the image itself does not count. What
is found counts if it is as near as the tenth nearest, so that equal photographs are worth the same.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import faiss
import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.index.manifest import VectorsInfo
from aaam_pipeline.index.vectors import Vectors, to_gpus, unit, write_faiss

FLAT_IMAGES = 100_000
MIN_RECALL, TARGET_RECALL = 0.95, 0.96
MIN_PROBES = 8
CODECS = {"fp16": faiss.ScalarQuantizer.QT_fp16, "sq8": faiss.ScalarQuantizer.QT_8bit}
BYTES = {"fp16": 2, "sq8": 1}
# with more, choosing the lists and the list of each vector would take longer than reading the annotations
MAX_LISTS = 8192
# vectors that k-means sees for each list; FAISS warns below 39
SAMPLED = 40
BLOCK = 65536
NEIGHBOURS, QUERIES = 10, 200
# sums of the same products in another order differ by less
ROUNDING = 1e-5


class VectorsBuilder(Protocol):
    """Takes vectors in the order of their ids, from annotations or from the previous index, and writes them."""

    def add(self, embedding_BD: NDArray[np.floating]) -> None:
        """Add embeddings of any length."""

    def copy(self, first: int, count: int) -> None:
        """Add vectors of the previous index, those with the ids from `first` on."""

    def write(self, path: Path) -> VectorsInfo:
        """Write the index file, with as many lists compared as the recall wanted takes; return how they are stored.

        Raises:
            UsageError: 8 bits a number are too few for these vectors.
        """


def create(dim: int, count: int, max_memory: int, work: Path, previous: Vectors | None = None) -> VectorsBuilder:
    """Return the builder for `count` vectors of `dim` that fits `max_memory` bytes; scratch files go to `work`.

    Raises:
        UsageError: they do not fit.
    """
    if count <= FLAT_IMAGES:
        return _FlatBuilder(dim, previous)
    codec = choose_codec(dim, count, max_memory)
    return _IvfUpdater(previous, count) if previous else _IvfBuilder(dim, count, codec, max_memory, work)


def updatable(info: VectorsInfo, dim: int, count: int, max_memory: int) -> bool:
    """Return whether an index of `count` images can copy vectors stored like this, or must build them anew."""
    if count <= FLAT_IMAGES:
        return info.kind == "flat"
    same = (info.kind, info.codec) == ("ivf", choose_codec(dim, count, max_memory))
    # lists that were chosen for far fewer or far more images would be too long, or too many
    return same and info.trained / 2 <= count <= info.trained * 2


def choose_codec(dim: int, count: int, max_memory: int) -> str:
    """Return the most exact codec whose vectors take at most half of the memory allowed.

    Raises:
        UsageError: there is none.
    """
    for codec, width in BYTES.items():
        if count * dim * width <= max_memory / 2:
            return codec
    least = 2 * count * dim * min(BYTES.values())
    raise UsageError(
        f"{count} vectors of {dim} do not fit: --max-memory must be at least {-(-least // 10**6)}MB, twice what they "
        "take with 8 bits a number"
    )


class _FlatBuilder:
    """Writes all vectors in half precision, one after the other."""

    def __init__(self, dim: int, previous: Vectors | None = None) -> None:
        self._index = faiss.IndexScalarQuantizer(dim, CODECS["fp16"], faiss.METRIC_INNER_PRODUCT)
        self._index.is_trained = True
        self._previous = previous

    def add(self, embedding_BD: NDArray[np.floating]) -> None:
        self._index.add(unit(embedding_BD))

    def copy(self, first: int, count: int) -> None:
        # as they are: half precision and back changes nothing
        assert self._previous
        self._index.add(self._previous.stored(first, count))

    def write(self, path: Path) -> VectorsInfo:
        write_faiss(self._index, path)
        return VectorsInfo(kind="flat", codec="fp16")


class _IvfBuilder:
    """Collects vectors in a scratch file, then chooses lists, fills them, and measures how many to compare."""

    def __init__(self, dim: int, count: int, codec: str, max_memory: int, work: Path) -> None:
        self._dim, self._count, self._codec = dim, count, codec
        # what k-means sees, 4 bytes a number, gets a quarter of the memory
        affordable = max(256, max_memory // (4 * 4 * dim * SAMPLED))
        self._lists = max(1, min(round(4 * count**0.5), MAX_LISTS, affordable))
        self._path = work / ".vectors.f16"
        self._vectors_ND: NDArray[np.float16] = np.zeros((0, dim), np.float16)

    def add(self, embedding_BD: NDArray[np.floating]) -> None:
        # not into mapped memory: a full disk would kill the process there
        with self._path.open("ab") as file:
            file.write(unit(embedding_BD).astype(np.float16).data)

    def copy(self, first: int, count: int) -> None:
        # this builder is used where vectors cannot be copied (`updatable`)
        assert not count, "vectors that are built anew cannot be copied"

    def write(self, path: Path) -> VectorsInfo:
        self._vectors_ND = np.memmap(self._path, np.float16, "r", shape=(self._count, self._dim))
        index = self._trained()
        _fill(index, self._blocks(), 0)
        info = self._tuned(index)
        index.nprobe = info.probes
        write_faiss(index, path)
        self._path.unlink()
        return info

    def _blocks(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, self._count, BLOCK):
            yield np.asarray(self._vectors_ND[start : start + BLOCK], np.float32)

    def _trained(self) -> Any:
        index = _empty(faiss.IndexFlatIP(self._dim), self._lists, self._codec)
        # directions, not points: the centres have length 1 like the vectors
        index.cp.spherical, index.cp.max_points_per_centroid = True, SAMPLED
        # 8 bits reach a tenth further than what was seen: of images to come, a number may be larger
        index.sq.rangestat_arg = 0.1
        index.clustering_index = to_gpus(faiss.IndexFlatIP(self._dim))
        chosen = np.random.default_rng(0).choice(
            self._count, min(self._count, SAMPLED * self._lists), replace=False, shuffle=False
        )
        index.train(np.asarray(self._vectors_ND[np.sort(chosen)], np.float32))
        return index

    def _tuned(self, index: Any) -> VectorsInfo:
        """Find how many lists have to be compared, on half of the queries; measure the recall on the other half."""
        ids = sample_queries(self._count)
        queries_QD = np.asarray(self._vectors_ND[ids], np.float32)
        tenth_Q = tenth_nearest(queries_QD, self._blocks())

        def measured(rows: slice, probes: int) -> float:
            found_QK = _search(index, queries_QD[rows], probes)[1]
            cosines_QK = np.einsum("qkd,qd->qk", np.asarray(self._vectors_ND[found_QK], np.float32), queries_QD[rows])
            # -1 is no image: the lists compared held fewer
            return recall_at_10(np.where(found_QK < 0, -np.inf, cosines_QK), tenth_Q[rows])

        half = len(ids) // 2
        tune, test = slice(half), slice(half, None)
        # more lists do not regain what the codec loses
        target = TARGET_RECALL
        if self._codec != "fp16":
            target = min(target, measured(tune, self._lists) - 0.01)
        probes = _fewest(lambda probes: measured(tune, probes) >= target, self._lists)
        probes = _fewest(lambda probes: measured(test, probes) >= MIN_RECALL, self._lists, probes)
        if (reached := measured(test, probes)) < MIN_RECALL:
            raise UsageError(
                f"with 8 bits a number only {reached:.0%} of the nearest images are found; --max-memory must be at "
                f"least {-(-4 * self._count * self._dim // 10**6)}MB for 16 bits"
            )
        all_lists = 1.0 if self._codec == "fp16" else measured(test, self._lists)
        return VectorsInfo("ivf", self._codec, self._lists, probes, reached, all_lists, self._count)


class _IvfUpdater:
    """Copies the lists of the previous index: its vectors as they are; only new vectors are assigned to a list."""

    def __init__(self, previous: Vectors, count: int) -> None:
        self._info, self._count, self._next = previous.info, count, 0
        self._previous = previous.faiss_index
        self._index = _empty(self._previous.quantizer, self._info.lists, self._info.codec)
        self._index.sq, self._index.is_trained = self._previous.sq, True
        self._new_ids = np.full(self._previous.ntotal, -1, np.int64)

    def add(self, embedding_BD: NDArray[np.floating]) -> None:
        rounded_BD = np.asarray(unit(embedding_BD).astype(np.float16), np.float32)
        _fill(self._index, [rounded_BD], self._next)
        self._next += len(rounded_BD)

    def copy(self, first: int, count: int) -> None:
        self._new_ids[first : first + count] = np.arange(self._next, self._next + count)
        self._next += count

    def write(self, path: Path) -> VectorsInfo:
        for number in range(self._info.lists):
            self._copy_list(number)
        self._index.ntotal = self._next
        info = self._tuned()
        self._index.nprobe = info.probes
        write_faiss(self._index, path)
        return info

    def _copy_list(self, number: int) -> None:
        old = self._previous.invlists
        size = old.list_size(number)
        if not size:
            return
        ids = self._new_ids[faiss.rev_swig_ptr(old.get_ids(number), size)]
        codes = faiss.rev_swig_ptr(old.get_codes(number), size * old.code_size).reshape(size, -1)
        ids, codes = ids[ids >= 0], np.ascontiguousarray(codes[ids >= 0])
        self._index.invlists.add_entries(number, len(ids), faiss.swig_ptr(ids), faiss.swig_ptr(codes))

    def _tuned(self) -> VectorsInfo:
        """Measure against a search of all lists; what the codec loses is known since the lists were chosen."""
        self._index.make_direct_map()
        queries_QD = self._index.reconstruct_batch(sample_queries(self._count))
        self._index.set_direct_map_type(faiss.DirectMap.NoMap)
        tenth_Q = _search(self._index, queries_QD, self._info.lists)[0][:, -1]

        def measured(probes: int) -> float:
            found = recall_at_10(_search(self._index, queries_QD, probes)[0], tenth_Q)
            return found * self._info.codec_recall

        probes = _fewest(lambda probes: measured(probes) >= MIN_RECALL, self._info.lists, self._info.probes)
        return msgspec.structs.replace(self._info, probes=probes, recall=measured(probes))


def sample_queries(count: int) -> NDArray[np.int64]:
    """Return the ids of the images that are asked about, in random order."""
    return np.random.default_rng(0).choice(count, min(QUERIES, count), replace=False)


def tenth_nearest(queries_QD: NDArray[np.float32], blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return for each query the cosine of its tenth nearest image besides itself (Q,), by comparing with all (B, D)."""
    best_QK = np.full((len(queries_QD), NEIGHBOURS + 1), -np.inf, np.float32)
    for block_BD in blocks:
        both = np.concatenate([best_QK, queries_QD @ block_BD.T], axis=1)
        best_QK = np.partition(both, -NEIGHBOURS - 1, axis=1)[:, -NEIGHBOURS - 1 :]
    tenth_Q: NDArray[np.float32] = best_QK.min(axis=1)
    return tenth_Q


def recall_at_10(cosines_QK: NDArray[np.floating], tenth_Q: NDArray[np.floating]) -> float:
    """Return the share of ten neighbours that was found; of the 11 images with these cosines one is the query."""
    found_Q = (cosines_QK >= tenth_Q[:, None] - ROUNDING).sum(axis=1) - 1
    return float((found_Q.clip(0, NEIGHBOURS) / NEIGHBOURS).mean())


def _empty(quantizer: Any, lists: int, codec: str) -> Any:
    # by_residual=False: a code is the vector itself, the same in whatever list it lies
    return faiss.IndexIVFScalarQuantizer(
        quantizer, quantizer.d, lists, CODECS[codec], faiss.METRIC_INNER_PRODUCT, False
    )


def _fill(index: Any, blocks_BD: Iterable[NDArray[np.float32]], first: int) -> None:
    """Add vectors with the ids from `first` on; to find the nearest of the lists is nearly all of the work."""
    centres = to_gpus(faiss.downcast_index(index.quantizer))
    for block_BD in blocks_BD:
        nearest_B = np.ascontiguousarray(centres.search(block_BD, 1)[1][:, 0])
        ids = np.arange(first, first + len(block_BD))
        index.add_core(len(block_BD), *map(faiss.swig_ptr, (block_BD, ids, nearest_B)))
        first += len(block_BD)


def _search(index: Any, queries_QD: NDArray[np.float32], probes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return cosines and ids (Q, K) of the nearest of the images compared, and of the query itself."""
    parameters = faiss.SearchParametersIVF(nprobe=probes)
    cosines_QK, ids_QK = index.search(queries_QD, NEIGHBOURS + 1, params=parameters)
    return cosines_QK, ids_QK


def _fewest(enough: Callable[[int], bool], most: int, first: int = MIN_PROBES) -> int:
    """Return how many lists are enough, growing by half from `first` on; at most `most`."""
    probes = min(first, most)
    while probes < most and not enough(probes):
        probes = min(probes + probes // 2, most)
    return probes
