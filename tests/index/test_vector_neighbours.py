"""The nearest other images of many at once, against comparing all with all."""

from pathlib import Path

import numpy as np
import pytest
from search.toy_index import DIM, LABELS, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index import vector_builders, vectors
from aaam_pipeline.index.build import build
from aaam_pipeline.metrics.neighbours import nearest

COUNT = 700


def built(folder: Path, embedding_ND: np.ndarray[tuple[int, int], np.dtype[np.float16]]) -> Path:
    scores_NL = np.zeros((len(embedding_ND), len(LABELS)), np.float16)
    build(write_annotations(folder / "annotations", scores_NL, embedding_ND), folder / "index", NullReporter())
    return folder / "index"


def test_of_a_flat_index_they_are_exact_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedding_ND = np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(np.float16)
    monkeypatch.setattr(vectors, "BLOCK", 64)
    rows = np.array([0, 5, 63, 64, COUNT - 1])
    with search.open(built(tmp_path, embedding_ND)) as index:
        ids, cosines = index.vectors.neighbours(rows, 12)
    expected, expected_cosines = nearest(embedding_ND, 12)
    assert ids.shape == (5, 12)
    np.testing.assert_allclose(cosines, expected_cosines[rows], atol=2e-3)
    assert (ids == expected[rows]).mean() > 0.95
    assert not (ids == rows[:, None]).any()


def test_of_lists_most_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_builders, "FLAT_IMAGES", 200)
    chance = np.random.default_rng(1)
    embedding_ND = chance.normal(size=(20, DIM))[chance.integers(20, size=COUNT)] + 0.3 * chance.normal(
        size=(COUNT, DIM)
    )
    rows = np.arange(0, COUNT, 7)
    with search.open(built(tmp_path, embedding_ND.astype(np.float16))) as index:
        assert index.manifest.vectors.kind == "ivf"
        ids, _ = index.vectors.neighbours(rows, 10)
    expected = nearest(embedding_ND, 10)[0][rows]
    found = [len(set(one) & set(other)) / 10 for one, other in zip(ids.tolist(), expected.tolist(), strict=True)]
    assert np.mean(found) > 0.9
    assert not (ids == rows[:, None]).any()


def test_more_are_asked_for_than_there_are(tmp_path: Path) -> None:
    # all equal: which of them is itself cannot be told by cosines
    embedding_ND = np.ones((4, DIM), np.float16)
    with search.open(built(tmp_path, embedding_ND)) as index:
        ids, cosines = index.vectors.neighbours(np.arange(4), 10)
    for row in range(4):
        assert sorted(ids[row][:3].tolist()) == [other for other in range(4) if other != row]
        assert (ids[row][3:] == -1).all()
        np.testing.assert_allclose(cosines[row], [1] * 3 + [0] * 7, atol=1e-3)
