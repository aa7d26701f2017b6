"""Copies: groups of images that are the same bytes, or nearly the same picture, the one to keep first.

Shapes: N images, C contents (images of the same bytes are one), each in the order in which they are kept; H contents
that have a hash.

Two pictures are nearly the same where their perceptual hashes (`imaging.hashes`) differ in few bits and their shapes
in little. There are no chains: every image of a group is like its first.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.imaging.hashes import BITS, SIMILARITY, distance
from aaam_pipeline.search import hash_pairs, real_files
from aaam_pipeline.search.hits import Hit
from aaam_pipeline.search.reader import IndexReader
from aaam_pipeline.search.real_files import FileState, RealFile

SHAPES = 1.2
"""By what factor the ratio of width to height may differ: a tenth of one side may be cut off."""
LOOKED_UP = 1000
"""Contents whose files are looked at together."""
# Most pixels, then most bytes, then by path; a link below the folder that was annotated comes last. Hashes as numbers:
# a million texts would take 100 MB.
IMAGES = """
SELECT id, dense_rank() OVER (ORDER BY coalesce(sha256, id::VARCHAR)) AS content, ln(width / height) AS shape, {words}
FROM images JOIN scores USING (id)
ORDER BY link_target IS NOT NULL AND NOT ends_with(link_target, '/' || path), width::BIGINT * height DESC NULLS LAST,
         bytes DESC NULLS LAST, place
""".format(words=", ".join(f"TRY_CAST('0x' || phash[{16 * n + 1}:{16 * n + 16}] AS UBIGINT) AS h{n}" for n in range(4)))
ROWS = """
SELECT id, path, root, labels, sha256, bytes, epoch_us(mtime) FROM images WHERE id IN (SELECT unnest(?))
"""


class Duplicate(NamedTuple):
    """An image of a group, and what its row says of the file; the hit's score: how similar it is to the first."""

    hit: Hit
    sha256: str | None
    bytes: int | None
    mtime: int | None
    file: RealFile


class DuplicateGroup(NamedTuple):
    """Images that are copies of the first: the one to keep. Images of the same bytes follow each other."""

    images: list[Duplicate]

    def identical(self) -> list[bool]:
        """Return for each image whether one before it holds the same bytes."""
        hashes = [image.sha256 for image in self.images]
        return [sha256 is not None and sha256 in hashes[:number] for number, sha256 in enumerate(hashes)]


class Duplicates(NamedTuple):
    """All groups, the largest first; how many images have no hash, and how many of groups are gone or changed."""

    groups: list[DuplicateGroup]
    unhashed: int
    gone: int

    def counts(self) -> tuple[int, int]:
        """Return how many images are copies byte for byte of one before them in their group, and how many nearly."""
        same = sum(sum(group.identical()) for group in self.groups)
        return same, sum(len(group.images) - 1 for group in self.groups) - same


def find_duplicates(index: IndexReader, report: Reporter, similarity: float = SIMILARITY) -> Duplicates:
    """Return all groups of two or more images of the same bytes, or whose hashes have this share of bits in common.

    The files of groups are looked at: one that is gone or changed since it was annotated is left out, and several
    names of one file are one image.

    Raises:
        UsageError: `similarity` is not in (0, 1].
        IntegrityError: the index is damaged.
    """
    if not 0 < similarity <= 1:
        raise UsageError(f"a similarity must be above 0 and at most 1, not {similarity}")
    finder = _Finder(index)
    groups = finder.groups(distance(similarity), report)
    groups.sort(key=lambda group: (-len(group.images), group.images[0].hit.path, group.images[0].hit.root))
    return Duplicates(groups, finder.unhashed, finder.gone)


def surplus(groups: Iterable[DuplicateGroup], *, near: bool = False) -> list[Hit]:
    """Return the images that can be deleted: of each, a file of the same bytes that is not returned stays.

    Every file is looked at again: what is gone, changed, a link, behind a URL or in an archive is neither returned nor
    counted as one that stays. `near`: return also those that are only nearly the same as the first that stays.
    """
    given: list[tuple[Hit, RealFile]] = []
    staying: set[tuple[object, ...]] = set()
    for images in (group.images for group in groups) if near else _same_bytes(groups):
        sure = [image for image in images if _is_sure(image)]
        staying.update(*(image.file.keys for image in sure[:1]))
        given += [(image.hit, image.file) for image in sure[1:]]
    return [hit for hit, file in given if staying.isdisjoint(file.keys)]


def _is_sure(image: Duplicate) -> bool:
    return real_files.look_at(image.hit, image.bytes, image.mtime).state is FileState.UNCHANGED


def _same_bytes(groups: Iterable[DuplicateGroup]) -> Iterator[list[Duplicate]]:
    for group in groups:
        by_bytes: dict[str, list[Duplicate]] = {}
        for image in group.images:
            if image.sha256 is not None:
                by_bytes.setdefault(image.sha256, []).append(image)
        yield from by_bytes.values()


class _Finder:
    """The images of an index, in the order in which they are kept."""

    def __init__(self, index: IndexReader) -> None:
        self._index = index
        columns = index.select_columns(IMAGES)
        words_N4 = np.ma.stack([columns[f"h{n}"] for n in range(4)], axis=1)
        hashed_N = np.logical_not(np.ma.getmaskarray(words_N4).any(axis=1))
        # contents in the order of their first images
        _, first_C, content_N = np.unique(np.asarray(columns["content"]), return_index=True, return_inverse=True)
        place_C = np.empty_like(first_C)
        place_C[np.argsort(first_C)] = np.arange(len(first_C))
        content_N = place_C[content_N]
        order_N = np.argsort(content_N, kind="stable")
        counts_C = np.bincount(content_N)
        self._ids_N = np.asarray(columns["id"])[order_N]
        self._starts_C = np.concatenate([[0], np.cumsum(counts_C)])
        self._contents_H, rows_H = np.unique(content_N[hashed_N], return_index=True)
        rows_H = np.flatnonzero(hashed_N)[rows_H]
        self._words_H4 = np.ascontiguousarray(np.ma.getdata(words_N4)[rows_H])
        self._shapes_H = np.ma.filled(columns["shape"].astype(np.float64), np.nan)[rows_H]
        self._several = np.flatnonzero(counts_C > 1)
        self._files: dict[int, list[Duplicate]] = {}
        self.unhashed = len(hashed_N) - int(hashed_N.sum())
        self.gone = 0

    def groups(self, most: int, report: Reporter) -> list[DuplicateGroup]:
        """Return the groups: in the order in which they are kept, each takes what is like it and not yet taken."""
        groups: list[DuplicateGroup] = []
        taken_H = np.zeros(len(self._contents_H), np.bool_)
        for block in hash_pairs.later_neighbours(self._words_H4.view(np.uint8), most, taken_H, report):
            near = [(first, self._of_one_shape(first, others)) for first, others in block]
            near = [(first, others) for first, others in near if len(others)]
            self._look_up(self._contents_H[[number for first, others in near for number in (first, *others)]])
            for first, others in near:
                if taken_H[first]:
                    continue
                found = [number for number in others[~taken_H[others]].tolist() if self._there(number)]
                if self._there(first) and found:
                    taken_H[[first, *found]] = True
                    groups += self._group([first, *found])
        alone = np.setdiff1d(self._several, self._contents_H[taken_H])
        for start in range(0, len(alone), LOOKED_UP):
            some = alone[start : start + LOOKED_UP]
            self._look_up(some)
            groups += [each for content in some.tolist() for each in _groups(self._files[content])]
        return groups

    def _of_one_shape(self, first: int, others: NDArray[np.int64]) -> NDArray[np.int64]:
        alike: NDArray[np.int64] = others[np.abs(self._shapes_H[others] - self._shapes_H[first]) <= np.log(SHAPES)]
        return alike

    def _there(self, number: int) -> bool:
        return bool(self._files[int(self._contents_H[number])])

    def _group(self, numbers: list[int]) -> list[DuplicateGroup]:
        first = self._words_H4[numbers[0]]
        images = []
        for number in numbers:
            score = 1 - int(np.bitwise_count(self._words_H4[number] ^ first).sum()) / BITS
            there = self._files[int(self._contents_H[number])]
            images += [image._replace(hit=image.hit._replace(score=score)) for image in there]
        return _groups(images)

    def _look_up(self, contents: NDArray[np.int64]) -> None:
        """Learn what the files of contents are now; of each, the files that are there stay, the best one first."""
        new = [content for content in dict.fromkeys(contents.tolist()) if content not in self._files]
        ids_of = {
            content: self._ids_N[self._starts_C[content] : self._starts_C[content + 1]].tolist() for content in new
        }
        ids = [id for each in ids_of.values() for id in each]
        rows = {row[0]: row[1:] for row in self._index.select(ROWS, [ids])} if ids else {}
        for content, its_ids in ids_of.items():
            found = []
            for id in its_ids:
                path, root, labels, sha256, size, mtime = rows[id]
                hit = Hit(path, located(root, self._index.folder), 1.0, labels, {})
                found.append(Duplicate(hit, sha256, size, mtime, real_files.look_at(hit, size, mtime)))
            there = [image for image in found if image.file.state is not FileState.GONE]
            self.gone += len(found) - len(there)
            # what was a link when it was annotated is in its place already
            self._files[content] = sorted(there, key=lambda image: image.file.state is FileState.LINK)


def _groups(images: list[Duplicate]) -> list[DuplicateGroup]:
    """Return one group of images, each file once; none where that leaves only one."""
    distinct = [images[number] for number in real_files.first_names([image.file for image in images])]
    return [DuplicateGroup(distinct)] if len(distinct) > 1 else []
