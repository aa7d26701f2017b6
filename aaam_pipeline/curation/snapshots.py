"""What `health` remembers of a library, so that the next run can tell what has changed: counts, beside the index.

Shapes: N photographs, L labels, H intervals of log-odds.

The file holds two runs, of two builds of the index: the last one, and the one before, with which it was compared. So a
run that is repeated says the same again.
"""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import read_checksummed, write_checksummed
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats.calibration import logit

# from a probability of 0.0001 to one of 0.99
EDGES: NDArray[np.float64] = np.arange(-9.0, 5.01, 0.5)
INTERVALS = len(EDGES) + 1


class LibrarySnapshot(msgspec.Struct, frozen=True):
    """Counts of one build of an index. `build`: identifies it; `judged`, `unfamiliar`, `failed`: of photographs.

    `assigned`: photographs of each label, L; `scores`: by interval of the score's log-odds, L x H; `together`: (label,
    label, photographs that have both), where there are any.
    """

    build: str
    model_id: str
    labels: list[str]
    images: int
    failed: int
    judged: int
    unfamiliar: int
    assigned: list[int] = []
    scores: list[list[int]] = []
    together: list[tuple[int, int, int]] = []

    def histogram(self) -> NDArray[np.int64]:
        """Return `scores` as an array (L, H)."""
        return np.array(self.scores, np.int64).reshape(len(self.labels), INTERVALS)

    def pairs(self) -> NDArray[np.int64]:
        """Return how many photographs have two labels, (L, L), symmetric; 0 on the diagonal."""
        count_LL = np.zeros((len(self.labels), len(self.labels)), np.int64)
        for one, other, count in self.together:
            count_LL[one, other] = count_LL[other, one] = count
        return count_LL


class HealthRecord(msgspec.Struct, frozen=True):
    """`<index>.health.json`: the last run, and the one of the build before."""

    last: LibrarySnapshot
    before: LibrarySnapshot | None = None
    hash: str = ""


def record_path(index: Path) -> Path:
    """Return where the runs of an index are remembered: beside it, since it is replaced as a whole."""
    target = index.resolve()
    return target.with_name(f"{target.name}.health.json")


def read_record(path: Path) -> HealthRecord | None:
    """Read what was remembered; None where nothing was.

    Raises:
        IntegrityError: the file is damaged.
    """
    if not path.exists():
        return None
    return read_checksummed(path, HealthRecord, "what health remembers")


def earlier(record: HealthRecord | None, now: LibrarySnapshot) -> LibrarySnapshot | None:
    """Return the run to compare with, its labels those of `now`: of the build before this one, by the same model."""
    found = _build_before(record, now)
    if not found or found.model_id != now.model_id:
        return None
    # words may have been taught or forgotten in between: those that were not there have no photographs
    place = {label: number for number, label in enumerate(now.labels)}
    assigned, scores = [0] * len(place), [[0] * INTERVALS for _ in place]
    for label, count, histogram in zip(found.labels, found.assigned, found.scores, strict=True):
        if label in place:
            assigned[place[label]], scores[place[label]] = count, histogram
    named = ((found.labels[one], found.labels[other], count) for one, other, count in found.together)
    together = [(place[one], place[other], count) for one, other, count in named if one in place and other in place]
    return msgspec.structs.replace(found, labels=now.labels, assigned=assigned, scores=scores, together=together)


def remember(path: Path, record: HealthRecord | None, now: LibrarySnapshot) -> None:
    """Write down a run; nothing is written where the file says so already.

    Raises:
        UsageError: it cannot be written.
    """
    before = _build_before(record, now)
    try:
        if record is None or (record.last, record.before) != (now, before):
            write_checksummed(path, HealthRecord(now, before))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}; --dry-run writes nothing") from None


def _build_before(record: HealthRecord | None, now: LibrarySnapshot) -> LibrarySnapshot | None:
    if record is None:
        return None
    return record.before if record.last.build == now.build else record.last


def count_scores(score_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many scores lie in each interval of log-odds, (H,)."""
    return np.bincount(np.searchsorted(EDGES, logit(score_N), side="right"), minlength=INTERVALS)


def count_pairs(packed_LB: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Return the pairs of labels that photographs have together; `packed_LB`: a bit a photograph (`np.packbits`)."""
    found = []
    for one in range(len(packed_LB) - 1):
        both = np.bitwise_count(packed_LB[one + 1 :] & packed_LB[one]).sum(1, dtype=np.int64)
        found += [(one, one + 1 + int(place), int(both[place])) for place in np.flatnonzero(both)]
    return found
