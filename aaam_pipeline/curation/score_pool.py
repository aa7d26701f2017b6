"""The photographs of annotations with the scores of some labels, and where each stands. Equal contents are one.

Shapes: N photographs, L labels.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.decisions import digests
from aaam_pipeline.formats.older_parts import to_current
from aaam_pipeline.formats.parts import AnnotationsManifest, is_current, part_path, read_annotations_manifest


class PhotoPlace(NamedTuple):
    """Where a photograph lies, as it was annotated, and its content."""

    root: str
    path: str
    sha256: str


class ScorePool:
    """Contents that were annotated, their scores for some labels, and permanent random numbers."""

    def __init__(self, folder: Path, labels: list[str], report: Reporter) -> None:
        """Read the scores of some labels; they take 4 bytes a photograph and label, and 40 a photograph.

        Raises:
            UsageError: there are no annotations, or no photograph was annotated.
            IntegrityError: they are damaged.
        """
        self.folder, self.labels = folder, labels
        self.manifest: AnnotationsManifest = read_annotations_manifest(folder)
        columns = [self.manifest.vocabulary.index(label) for label in labels]
        read: list[tuple[NDArray[np.bytes_], NDArray[np.float32], NDArray[np.int32]]] = []
        with report.task("read scores", self.manifest.parts) as advance:
            for number in range(self.manifest.parts):
                read.append(_part(part_path(folder, number), number, columns))
                advance(1)
        if not sum(len(each[0]) for each in read):
            raise UsageError(f"{folder} holds no annotated photograph")
        digest_N, score_NL, place_N2 = (np.concatenate(column) for column in zip(*read, strict=True))
        self.digest_N, first_N = np.unique(digest_N, return_index=True)
        self.score_NL, self._place_N2 = score_NL[first_N], place_N2[first_N]

    def random(self, label: str) -> NDArray[np.uint64]:
        """Return a number (N,) for each photograph that its content and the label decide."""
        words = self.digest_N.view(np.uint64).reshape(-1, 4)[:, 0]
        mixed = words ^ np.uint64(int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "little"))
        # the end of splitmix64
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        random_N: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
        return random_N

    def sha256(self, photograph: int) -> str:
        """Return the hash of a photograph's content."""
        return self.digest_N[photograph : photograph + 1].tobytes().hex()

    def place(self, photograph: int) -> PhotoPlace:
        """Return where a photograph lies."""
        number, row = map(int, self._place_N2[photograph])
        rows = _names(part_path(self.folder, number))
        return PhotoPlace(rows["root"][row].as_py(), rows["path"][row].as_py(), self.sha256(photograph))


@lru_cache(maxsize=4)
def _names(part: Path) -> pa.Table:
    return pq.ParquetFile(part.absolute()).read(["root", "path"])


def _part(
    part: Path, number: int, columns: list[int]
) -> tuple[NDArray[np.bytes_], NDArray[np.float32], NDArray[np.int32]]:
    """Return contents, scores and places of the annotated rows of a part."""
    if is_current(part):
        rows = part_files.read_part(part, ["sha256", "status", "scores"])
    else:
        rows = to_current(part_files.read_part(part))
    annotated_N = pc.equal(rows["status"], "ok").combine_chunks()
    row_N = np.flatnonzero(annotated_N.to_numpy(zero_copy_only=False)).astype(np.int32)
    scores = to_matrix(rows["scores"].combine_chunks().filter(annotated_N))[:, columns]
    contents = digests(rows["sha256"].filter(annotated_N).to_pylist()) if len(row_N) else np.empty(0, "S32")
    return contents, scores, np.stack([np.full(len(row_N), number, np.int32), row_N], axis=1)
