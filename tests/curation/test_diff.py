"""Two annotations compared: against sets in Python, whatever the order of rows, names and words."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from search.toy_index import LABELS, write_annotations

from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.curation.diff import AnnotationsDiff, LabelDiff, compare
from aaam_pipeline.formats.decisions import Decision, resolve

COUNT = 60
NOTHING = resolve([])


def scores(seed: int) -> NDArray[np.float16]:
    # nothing beside the threshold, which half precision might move
    return np.random.default_rng(seed).choice([0.1, 0.3, 0.7, 0.9], (COUNT, len(LABELS))).astype(np.float16)


def annotations(folder: Path, score_NL: NDArray[np.float16], rows: list[int], prefix: str = "") -> Path:
    embedding_ND = np.zeros((len(rows), 8), np.float16)
    hashes, names = [f"{row + 1:064x}" for row in rows], [f"{prefix}{row:04d}.jpg" for row in rows]
    return write_annotations(folder, score_NL[rows], embedding_ND, sha256=hashes, path=names)


def of(found: AnnotationsDiff, label: str) -> LabelDiff:
    return next(each for each in found.labels if each.label == label)


def test_photographs_are_found_by_content_in_any_order_under_any_name(tmp_path: Path) -> None:
    old, new = scores(1), scores(2)
    before = annotations(tmp_path / "a", old, list(range(50)))
    order = np.random.default_rng(0).permutation(np.arange(10, 60)).tolist()
    after = annotations(tmp_path / "b", new, order, "moved/")
    found = compare(before, after, NOTHING, NullReporter())
    assert (found.photographs, found.only_before, found.only_after) == (40, 10, 10)
    common = range(10, 50)
    for column, label in enumerate(LABELS):
        had, has = ({row for row in common if each[row, column] >= 0.5} for each in (old, new))
        each = of(found, label)
        assert (each.known, each.before, each.after) == ("both", len(had), len(has))
        assert (each.gained, each.lost) == (len(has - had), len(had - has))
        mean = np.mean([(float(old[row, column]) + float(new[row, column])) / 2 for row in has - had])
        assert each.gained_precision is not None
        assert each.gained_precision.share == pytest.approx(mean, abs=1e-3)
        assert each.gained_precision.by == "scores"
    changes = [each.gained + each.lost for each in found.labels]
    assert changes == sorted(changes, reverse=True)
    # nothing is left behind
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_photograph_whose_content_changed_is_found_by_its_path(tmp_path: Path) -> None:
    before = annotations(tmp_path / "a", scores(1), [1, 2, 3])
    embedding_ND = np.zeros((3, 8), np.float16)
    names = ["0001.jpg", "0002.jpg", "0004.jpg"]
    hashes = ["f" * 64, None, f"{5:064x}"]
    after = write_annotations(tmp_path / "b", scores(1)[[1, 2, 4]], embedding_ND, sha256=hashes, path=names)
    found = compare(before, after, NOTHING, NullReporter())
    assert (found.photographs, found.only_before, found.only_after) == (2, 1, 1)
    assert not any(each.gained or each.lost for each in found.labels)


def test_copies_are_found_at_their_own_path_and_wherever_they_went(tmp_path: Path) -> None:
    embedding_ND, copies = np.zeros((3, 8), np.float16), ["a" * 64, "a" * 64, "b" * 64]
    score_NL = scores(1)[:3]
    before = write_annotations(tmp_path / "a", score_NL, embedding_ND, sha256=copies, path=["1.jpg", "2.jpg", "3.jpg"])
    again = write_annotations(
        tmp_path / "b", score_NL[[1, 0, 2]], embedding_ND, sha256=copies, path=["2.jpg", "1.jpg", "3.jpg"]
    )
    found = compare(before, again, NOTHING, NullReporter())
    assert (found.photographs, found.only_before, found.only_after) == (3, 0, 0)
    assert not any(each.gained or each.lost for each in found.labels)
    moved = write_annotations(tmp_path / "c", score_NL, embedding_ND, sha256=copies, path=["x", "y", "z"])
    assert compare(before, moved, NOTHING, NullReporter())[1:] == (3, 0, 0)


def test_decisions_dispute_and_estimate(tmp_path: Path) -> None:
    old, new = scores(1), scores(1)
    column = LABELS.index("boat")
    old[:, column], new[:, column] = 0.1, 0.9
    before = annotations(tmp_path / "a", old, list(range(COUNT)))
    after = annotations(tmp_path / "b", new, list(range(COUNT)))
    said = resolve(
        Decision(sha256=f"{row + 1:064x}", label="Boat", value="yes" if row < 3 else "no", by="person")
        for row in range(30)
    )
    boat = of(compare(before, after, said, NullReporter(), samples=4), "boat")
    assert (boat.gained, boat.disputed) == (COUNT, 27)
    assert boat.gained_precision is not None
    assert boat.gained_precision.by == "decisions"
    assert boat.gained_precision.decided == 30
    assert boat.gained_precision.share < 0.3
    assert [each.path for each in boat.gained_sample] == ["0000.jpg", "0001.jpg", "0002.jpg", "0003.jpg"]
    assert boat.lost_sample == []
    assert boat.gained_sample[0].score == pytest.approx(0.5, abs=1e-3)


def test_what_is_refused(tmp_path: Path) -> None:
    before = annotations(tmp_path / "a", scores(1), [1])
    with pytest.raises(UsageError, match="not an annotations folder"):
        compare(before, tmp_path, NOTHING, NullReporter())
    part = before / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    after = annotations(tmp_path / "b", scores(1), [1])
    with pytest.raises(IntegrityError, match="changed"):
        compare(before, after, NOTHING, NullReporter())
