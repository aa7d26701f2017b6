"""Splits by what is in the files: the same photographs are in the same split, whatever their names and their number.

Photographs that are the same bytes or nearly the same picture (`imaging.hashes`), directly or by others between them,
are one group, and a group is never divided. Shapes: N photographs, H of them with a perceptual hash.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import DatasetError, ImageError
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.seeding import derive
from aaam_pipeline.imaging.hashes import SIDE, distance, perceptual_hash
from aaam_pipeline.imaging.resizing import resize_square

BLOCK = 1024
TOP = 2.0**63


def by_content(paths: Sequence[Path], shares: dict[str, float], seed: int, report: Reporter) -> list[str]:
    """Return the split of each photograph: `train`, or one of `shares`, split -> share of all photographs.

    A group's split depends on `seed` and on the contents of the group alone, so that photographs which come later move
    no other. Only where a split would stay empty, the group that is nearest to it is taken. In order of the names.

    Raises:
        DatasetError: there are too few groups for all splits.
    """
    return drawn(group_keys(paths, report), shares, seed)


def drawn(keys: Sequence[str], shares: dict[str, float], seed: int) -> list[str]:
    """Return the split of each photograph by the key of its group, as `by_content`."""
    # where a group lies on a line from 0 to 1, of which each split has a part
    place = {key: derive(seed, "split", key) / TOP for key in set(keys)}
    if len(place) <= len(shares):
        raise DatasetError(
            f"{len(keys)} photographs are {len(place)} different pictures: too few for train, {' and '.join(shares)}"
        )
    waiting = sorted(place, key=lambda key: (place[key], key))
    split_of: dict[str, str] = {}
    end = 0.0
    for number, (split, share) in enumerate(shares.items()):
        end += share
        # one for each split that is still to come
        most = len(waiting) - (len(shares) - number)
        inside = sum(place[key] < end for key in waiting[:most])
        split_of |= dict.fromkeys(waiting[: max(inside, 1)], split)
        waiting = waiting[max(inside, 1) :]
    return [split_of.get(key, "train") for key in keys]


def group_keys(paths: Sequence[Path], report: Reporter) -> list[str]:
    """Return of each photograph what its group has in common: the least SHA-256 of its members."""
    seen: list[tuple[str, str | None]] = []
    with report.task("compare photographs", len(paths)) as advance, ThreadPoolExecutor(available_cores()) as pool:
        for found in pool.map(_look, paths):
            seen.append(found)
            advance(1)
    looks = sorted({look for _, look in seen if look})
    leader_of = dict(zip(looks, _components(looks), strict=True))
    # first those that look alike, then those of the same bytes among what does not look like anything
    key_of: dict[int, str] = {}
    for sha256, look in seen:
        if look:
            leader = leader_of[look]
            key_of[leader] = min(key_of.get(leader, sha256), sha256)
    return [key_of[leader_of[look]] if look else sha256 for sha256, look in seen]


def _look(path: Path) -> tuple[str, str | None]:
    """Return the SHA-256 and the perceptual hash of a file; of one that cannot be read, of its name."""
    try:
        content = path.read_bytes()
    except OSError:
        return hashlib.sha256(bytes(path)).hexdigest(), None
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        return sha256, perceptual_hash(resize_square(content, SIDE).pixels_SS3)
    except (ImageError, OSError):
        return sha256, None


def _components(looks: Sequence[str]) -> list[int]:
    """Return for each of different hashes the first one that it is connected with by near ones."""
    leaders = list(range(len(looks)))
    if not looks:
        return leaders
    hashes_H32: NDArray[np.uint8] = np.frombuffer(bytes.fromhex("".join(looks)), np.uint8).reshape(len(looks), -1)
    index = faiss.IndexBinaryFlat(8 * hashes_H32.shape[1])
    index.add(hashes_H32)

    def leader(number: int) -> int:
        while leaders[number] != number:
            leaders[number] = number = leaders[leaders[number]]
        return number

    for start in range(0, len(looks), BLOCK):
        # `<` in FAISS
        limits, _, near = index.range_search(hashes_H32[start : start + BLOCK], distance() + 1)
        for offset, (low, high) in enumerate(pairwise(limits.astype(np.int64).tolist())):
            for other in near[low:high].tolist():
                one, two = sorted((leader(start + offset), leader(other)))
                leaders[two] = one
    return [leader(number) for number in range(len(looks))]
