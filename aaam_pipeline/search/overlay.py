"""Which images of an index decisions are of: by the number of their digest, for any number of images and decisions.

Shapes: N images of the index, C contents of which anything is decided, K images of these contents.

A content may be several images, and a decision may be of a content that the index does not hold. Contents are told by
the first 8 bytes of their SHA-256: among a million images and a million decisions, one is taken for another with a
probability of 5e-8.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.formats.decisions import Decisions, Verdict
from aaam_pipeline.search.ranker import Select
from aaam_pipeline.search.shared_cache import SharedCache

BLOCK_IMAGES = 4_000_000
"""Images whose digests are in memory at once."""
MAX_LABELS = 1000
"""Labels of which it is kept which images they were decided for."""
Ids = NDArray[np.int64]


class DecidedImages(NamedTuple):
    """The images that a label was decided for, by their ids, ascending."""

    yes: Ids
    no: Ids

    @property
    def both(self) -> Ids:
        """The images of either kind, ascending."""
        return np.sort(np.concatenate([self.yes, self.no]))


NOWHERE = DecidedImages(np.empty(0, np.int64), np.empty(0, np.int64))


class _KnownImages(NamedTuple):
    """Images that anything is decided of: numbers of their digests, ascending, and ids; the order of these by id.

    `number_C`: the numbers of all contents of which anything is decided, ascending.
    """

    number_K: NDArray[np.uint64]
    id_K: Ids
    by_id: NDArray[np.intp]
    number_C: NDArray[np.uint64]


class Overlay:
    """Decisions as they are of the images of an index. Any number of threads may ask."""

    def __init__(self, decided: Decisions, select: Select, images: int) -> None:
        """Read the images' digests through `select`, when they are first needed."""
        self.decisions = decided
        self._select, self.images = select, images
        self._of_label = SharedCache(self._read, MAX_LABELS)
        self._known = SharedCache(self._find, 1)

    def of_label(self, label: str) -> DecidedImages:
        """Return which images a label was decided for.

        Raises:
            IntegrityError: the index is damaged.
        """
        return self._of_label.get(label) if self.decisions else NOWHERE

    def of_images(self, ids: Sequence[int]) -> list[dict[str, Verdict]]:
        """Return what is decided of images, by label.

        Raises:
            IntegrityError: the index is damaged.
        """
        found: list[dict[str, Verdict]] = [{} for _ in ids]
        if not (self.decisions and ids):
            return found
        known = self._known.get("all")
        row_K = known.by_id
        place = np.searchsorted(known.id_K, ids, sorter=row_K).clip(max=max(0, len(row_K) - 1))
        # of many images few are decided
        for row in np.flatnonzero(known.id_K[row_K[place]] == ids).tolist() if len(row_K) else ():
            content = np.searchsorted(known.number_C, known.number_K[row_K[place[row]]])
            found[row] = self.decisions.of_image(self._contents[content : content + 1].tobytes().hex())
        return found

    def after_fork(self) -> None:
        """Make this usable in a child that was just forked."""
        for each in (self._of_label, self._known):
            each.after_fork()

    @cached_property
    def _contents(self) -> NDArray[np.bytes_]:
        return self.decisions.contents()

    def _read(self, label: str) -> DecidedImages:
        yes, no = self.decisions.of_label(label)
        return DecidedImages(self._ids(yes), self._ids(no)) if len(yes) + len(no) else NOWHERE

    def _ids(self, contents: NDArray[np.bytes_]) -> Ids:
        """Return the images of some contents."""
        number_K, id_K = self._known.get("all")[:2]
        wanted = _numbers(contents)
        first, last = (np.searchsorted(number_K, wanted, side) for side in ("left", "right"))
        counts = last - first
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        return np.sort(id_K[np.repeat(first, counts) + within])

    def _find(self, _: str) -> "_KnownImages":
        number_C = _numbers(self._contents)
        found: list[tuple[NDArray[np.uint64], Ids]] = [(number_C[:0], NOWHERE.yes)]
        # a table of the first bits excludes most images, in a tenth of the time that a search for each takes
        shift = np.uint64(64 - min(24, max(16, len(number_C).bit_length() + 4)))
        begins = np.zeros(1 << (64 - int(shift)), np.bool_)
        begins[number_C >> shift] = True
        for start in range(0, self.images, BLOCK_IMAGES):
            values: list[Any] = [start, start + BLOCK_IMAGES]
            rows = self._select(
                "SELECT id, digest FROM images WHERE id >= $1 AND id < $2 AND digest IS NOT NULL", values
            )
            number_N = np.asarray(rows["digest"], np.uint64)
            maybe = np.flatnonzero(begins[number_N >> shift])
            place = np.searchsorted(number_C, number_N[maybe]).clip(max=max(0, len(number_C) - 1))
            maybe = maybe[number_C[place] == number_N[maybe]]
            found.append((number_N[maybe], np.asarray(rows["id"], np.int64)[maybe]))
        number_K, id_K = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(number_K, kind="stable")
        return _KnownImages(number_K[order], id_K[order], np.argsort(id_K[order]), number_C)


def _numbers(contents: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """Return the first 8 bytes of digests as numbers, in the same order."""
    return np.ascontiguousarray(contents).view(">u8")[::4].astype(np.uint64)
