"""Keyword queries: which images are hits, and in which order."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toy_index import DIM, EMBEDDING_ND, IMAGES, LABELS, SCORES_NL, ids_of, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import ranking
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.build import build
from aaam_pipeline.search import Index

VECTORS = np.ones((9, DIM), np.float16)
CODES_NL = ranking.encode(SCORES_NL)


def expected(ids: list[int], top: int) -> list[tuple[int, float]]:
    """Rank with NumPy: the best first, ties by id, and no image that is too unlikely."""
    codes_NQ = CODES_NL[:, sorted(ids)]
    score_N, least = ranking.conjunction(codes_NQ), ranking.least_of(len(ids))
    return [(int(id), score_N[id]) for id in ranking.rank(codes_NQ, IMAGES) if score_N[id] >= least][:top]


def texts(ids: list[int]) -> str:
    return " ".join(f'"{LABELS[id]}"' for id in ids)


@pytest.mark.parametrize("ids", [ids for count in (1, 2, 3) for ids in itertools.permutations(range(6), count)])
def test_a_query_ranks_as_numpy_does(ids: tuple[int, ...], index: Index) -> None:
    for top in (1, 20, IMAGES + 5):
        hits = index.query(texts(list(ids)), top)
        oracle = expected(list(ids), top)
        assert ids_of(hits) == [id for id, _ in oracle]
        np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in oracle], rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(st.integers(0, 4), min_size=1, max_size=5), top=st.integers(1, 60), more=st.integers(1, 60))
def test_a_shorter_answer_is_the_beginning_of_a_longer_one(ids: list[int], top: int, more: int, index: Index) -> None:
    assert index.query(texts(ids), top) == index.query(texts(ids), top + more)[:top]


def test_a_label_named_twice_counts_once(index: Index) -> None:
    assert index.query("boat boat BOAT", 30) == index.query("boat", 30)


def test_quotes_and_case_do_not_matter(index: Index) -> None:
    assert index.query('person "Traffic LIGHT"', 30) == index.query("PERSON traffic light", 30)


def test_a_hit_tells_where_the_image_lies_and_what_it_holds(index: Index) -> None:
    (hit,) = index.query("traffic light boat", top=1)
    ((id, score),) = expected([2, 4], 1)
    assert (hit.path, hit.root, hit.file) == (f"{id:04d}.jpg", "/photos", Path(f"/photos/{id:04d}.jpg"))
    assert hit.score == pytest.approx(score)
    assert hit.label_scores == {
        "traffic light": ranking.decode(CODES_NL[id, 2]),
        "boat": ranking.decode(CODES_NL[id, 4]),
    }
    assert hit.labels == [label for label, value in zip(LABELS, SCORES_NL[id], strict=True) if value >= 0.5]


def test_images_without_a_label_are_not_hits(index: Index) -> None:
    assert index.query("never") == []
    assert index.query("never grass") == []
    assert len(index.query("sky", IMAGES)) == (ranking.decode(CODES_NL[:, 1]) >= ranking.LEAST).sum() < IMAGES


@pytest.mark.parametrize("top", [0, -1])
def test_top_must_be_positive(top: int, index: Index) -> None:
    with pytest.raises(UsageError, match="top must be at least 1"):
        index.query("grass", top)
    with pytest.raises(UsageError, match="top must be at least 1"):
        index.similar(EMBEDDING_ND[0], top)


@pytest.mark.parametrize(
    "text",
    [
        "s0",
        "grass; DROP TABLE images; --",
        "grass' OR '1'='1",
        "grass) UNION SELECT 1 --",
        "%",
        "_",
        "🚲🚲",
        "{0}",
        "?",
        "$1",
        "\x00",
        "x" * 10_000,
        "';'" * 3000,
    ],
)
def test_a_hostile_text_is_only_a_query_without_meaning(text: str, index: Index, toy_index: Path) -> None:
    before = (toy_index / manifests.SCORES).read_bytes()
    with pytest.raises(UsageError):
        index.query(text)
    assert (toy_index / manifests.SCORES).read_bytes() == before
    assert len(index.query("boat", 5)) == 5


def test_ties_go_by_path_whatever_the_order_of_annotating(tmp_path: Path) -> None:
    scores_NL = np.full((9, len(LABELS)), 0.5, np.float16)
    columns = {"path": list("gcbahdeff"), "root": [*["/b"] * 7, "/z", "/a"]}
    annotations = write_annotations(tmp_path / "annotations", scores_NL, VECTORS, **columns)
    build(annotations, tmp_path / "index", NullReporter())
    with search.open(tmp_path / "index") as index:
        found = [hit.path + hit.root for hit in index.query("grass|sky", 9)]
        assert found == ["a/b", "b/b", "c/b", "d/b", "e/b", "f/a", "f/z", "g/b", "h/b"]
        assert [hit.path + hit.root for hit in index.query("grass|sky", 4)] == found[:4]


def test_a_folder_may_have_any_name(toy_index: Path, tmp_path: Path) -> None:
    for name in ("it's; DROP TABLE images; --", 'a "b" %s {x} ?', "Köln 🚲"):
        shutil.copytree(toy_index, tmp_path / name)
        with search.open(tmp_path / name) as index:
            assert len(index.query("boat", 5)) == len(index.similar(EMBEDDING_ND[0], 5)) == 5
