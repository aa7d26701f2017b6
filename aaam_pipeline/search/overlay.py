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

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats import decisions
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
        return np.union1d(self.yes, self.no)


NOWHERE = DecidedImages(np.empty(0, np.int64), np.empty(0, np.int64))


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

    def of_images(self, sha256: Sequence[str | None]) -> list[dict[str, Verdict]]:
        """Return what is decided of images, by label."""
        found: list[dict[str, Verdict]] = [{} for _ in sha256]
        known = [row for row, each in enumerate(sha256) if each and len(each) == 64] if self.decisions else []
        try:
            digest_N = decisions.digests([sha256[row] or "" for row in known])
        except ValueError:
            raise IntegrityError("the index is damaged: a SHA-256 is none; build the index again") from None
        # of many images few are decided
        place_N = np.searchsorted(self._contents, digest_N).clip(max=max(0, len(self._contents) - 1))
        for row in np.flatnonzero(self._contents[place_N] == digest_N).tolist():
            found[known[row]] = self.decisions.of_image(sha256[known[row]] or "")
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
        number_K, id_K = self._known.get("all")
        wanted = _numbers(contents)
        first, last = (np.searchsorted(number_K, wanted, side) for side in ("left", "right"))
        counts = last - first
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        return np.sort(id_K[np.repeat(first, counts) + within])

    def _find(self, _: str) -> tuple[NDArray[np.uint64], Ids]:
        """Return the images that anything is decided of, as numbers of digests (K,), ascending, and ids (K,)."""
        number_C = np.unique(_numbers(self._contents))
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
        return number_K[order], id_K[order]


def _numbers(contents: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """Return the first 8 bytes of digests as numbers, in the same order."""
    return np.ascontiguousarray(contents).view(">u8")[::4].astype(np.uint64)
