"""The rows of annotations, found by the photograph: by its content, else by its path. For comparing two folders.

Shapes: N annotated rows of the folder, B rows that are looked for, L labels.

Scores lie in a file of their own while it is needed; memory holds 112 bytes a row, and a bit a label.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aaam_pipeline.core.progress import Advance
from aaam_pipeline.core.text import nfc
from aaam_pipeline.curation.library import NO_DIGEST
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.older_parts import to_current
from aaam_pipeline.formats.part_files import read_part
from aaam_pipeline.formats.parts import AnnotationsManifest, part_path


class AnnotatedRows(NamedTuple):
    """Annotated (not failed) rows of a part: `digest_N`, `place_N` (of the path), S32; scores and labels (N, L)."""

    digest_N: NDArray[np.bytes_]
    place_N: NDArray[np.bytes_]
    scores_NL: NDArray[np.float32]
    assigned_NL: NDArray[np.bool_]
    paths: list[str]
    roots: list[str]


def annotated_rows(table: pa.Table, vocabulary: list[str]) -> AnnotatedRows:
    """Return what is compared of the rows of a part that did not fail, in their order."""
    rows = table.filter(pc.equal(table["status"], "ok"))
    paths, roots = rows["path"].to_pylist(), rows["root"].to_pylist()
    hashes = [each if each and len(each) == 64 else NO_DIGEST.hex() for each in rows["sha256"].to_pylist()]
    places = (nfc(f"{root.rstrip('/')}/{path}") for root, path in zip(roots, paths, strict=True))
    place = b"".join(hashlib.blake2b(each.encode(), digest_size=32).digest() for each in places)
    assigned_NL = np.zeros((len(rows), len(vocabulary)), np.bool_)
    lists = rows["labels"].combine_chunks()
    row_A = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    label_A = pc.index_in(pc.list_flatten(lists), pa.array(vocabulary, pa.string())).to_numpy(zero_copy_only=False)
    assigned_NL[row_A.astype(np.intp), label_A.astype(np.intp)] = True
    digest_N = np.frombuffer(bytes.fromhex("".join(hashes)), "S32")
    scores_NL = to_matrix(rows["scores"]) if len(rows) else np.zeros(assigned_NL.shape, np.float32)
    return AnnotatedRows(digest_N, np.frombuffer(place, "S32"), scores_NL, assigned_NL, paths, roots)


def tables(folder: Path, manifest: AnnotationsManifest, advance: Advance) -> Iterator[pa.Table]:
    """Yield the parts of annotations as tables of the current version.

    Raises:
        IntegrityError: a part is damaged.
    """
    for number in range(manifest.parts):
        yield to_current(read_part(part_path(folder, number)))
        advance(1)


@contextmanager
def matched_rows(
    folder: Path, manifest: AnnotationsManifest, scratch: Path, advance: Advance
) -> Iterator["MatchedRows"]:
    """Read all annotated rows of a folder; `scratch`: an existing folder for their scores while the block runs.

    Raises:
        IntegrityError: a part is damaged.
    """
    with tempfile.TemporaryFile(dir=scratch, prefix=".aaam-") as file:
        yield MatchedRows(folder, manifest, file, advance)


class MatchedRows:
    """All annotated rows of a folder; made by `matched_rows`."""

    def __init__(self, folder: Path, manifest: AnnotationsManifest, file: IO[bytes], advance: Advance) -> None:
        """Read them, the scores into an empty file."""
        count, labels = manifest.successes, len(manifest.vocabulary)
        # an empty file cannot be mapped
        file.truncate(max(count * labels * 4, 1))
        self._scores_NL: NDArray[np.float32] = (
            np.memmap(file, np.float32, "r+", shape=(count, labels)) if count else np.zeros((0, labels), np.float32)
        )
        self._labels, bits, digests, places = labels, [], [], []
        first = 0
        for table in tables(folder, manifest, advance):
            rows = annotated_rows(table, manifest.vocabulary)
            self._scores_NL[first : first + len(rows.paths)] = rows.scores_NL
            bits.append(np.packbits(rows.assigned_NL, axis=1))
            digests.append(rows.digest_N)
            places.append(rows.place_N)
            first += len(rows.paths)
        empty = np.zeros(0, "S32")
        self._bits_NB = np.concatenate([np.zeros((0, (labels + 7) // 8), np.uint8), *bits])
        self._digest_N = np.concatenate([empty, *digests])
        self._by_digest = _Places(self._digest_N)
        self._by_place = _Places(np.concatenate([empty, *places]))

    def __len__(self) -> int:
        return len(self._bits_NB)

    def find(self, rows: AnnotatedRows) -> NDArray[np.intp]:
        """Return the row of each photograph, (B,): of the same content, else of the same path; -1: there is none.

        Of several copies it is the one at the same path, if that is one.
        """
        here_B, found_B = self._by_place.find(rows.place_N), self._by_digest.find(rows.digest_N)
        found_B[rows.digest_N == NO_DIGEST] = -1
        same_B = (here_B >= 0) & (self._digest_N[here_B] == rows.digest_N) if len(self) else here_B >= 0
        return np.where(same_B | (found_B < 0), here_B, found_B)

    def missing(self, seen_N: NDArray[np.bool_]) -> int:
        """Return how many photographs are not `seen`, neither they nor a copy."""
        unseen_N = self._digest_N[~seen_N]
        copies_N = np.isin(unseen_N, self._digest_N[seen_N]) & (unseen_N != NO_DIGEST)
        return int(np.count_nonzero(~copies_N))

    def scores(self, row_B: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the scores of rows, (B, L)."""
        return np.asarray(self._scores_NL[row_B])

    def assigned(self, row_B: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which labels rows have, (B, L)."""
        return np.unpackbits(self._bits_NB[row_B], axis=1, count=self._labels).astype(np.bool_)


class _Places:
    """Finds keys (S32) among many."""

    def __init__(self, key_N: NDArray[np.bytes_]) -> None:
        self._order_N = np.argsort(key_N, kind="stable")
        self._sorted_N = key_N[self._order_N]

    def find(self, key_B: NDArray[np.bytes_]) -> NDArray[np.intp]:
        if not len(self._sorted_N):
            return np.full(len(key_B), -1)
        place_B = np.searchsorted(self._sorted_N, key_B).clip(max=len(self._sorted_N) - 1)
        return np.where(self._sorted_N[place_B] == key_B, self._order_N[place_B], -1)
