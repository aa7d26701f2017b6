"""Several photographs, photographs to be unlike, and a query beside them: against NumPy over all images."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from search.toy_index import DIM, EMBEDDING_ND, IMAGES, LABELS, SCORES_NL, ids_of, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import ranking
from aaam_pipeline.index.build import build
from aaam_pipeline.search import Index, similar

CODES_NL = ranking.encode(SCORES_NL)
UNIT_ND = EMBEDDING_ND.astype(np.float64)
UNIT_ND /= np.linalg.norm(UNIT_ND, axis=1, keepdims=True)


def unit(vector_D: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector_D / np.linalg.norm(vector_D))


def photo(id: int) -> str:
    return f"/photos/{id:04d}.jpg"


def test_several_photographs_are_their_mean_direction(index: Index) -> None:
    cosine_N = UNIT_ND @ unit(UNIT_ND[3] + UNIT_ND[4])
    hits = index.similar([photo(3), EMBEDDING_ND[4] * 7], top=10)
    assert 3 not in ids_of(hits)
    np.testing.assert_allclose([hit.score for hit in hits], cosine_N[ids_of(hits)], atol=2e-3)
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(np.delete(cosine_N, 3))[::-1][:10], atol=2e-3)


def test_images_like_what_shall_not_be_come_later(index: Index) -> None:
    sought_D = unit(unit(UNIT_ND[3]) - 0.5 * unit(UNIT_ND[7] + UNIT_ND[8]))
    hits = index.similar(photo(3), top=10, unlike=[photo(7), photo(8)])
    assert not {3, 7, 8} & set(ids_of(hits))
    np.testing.assert_allclose([hit.score for hit in hits], (UNIT_ND @ sought_D)[ids_of(hits)], atol=2e-3)
    near = ids_of(index.similar(photo(3), top=IMAGES))
    far = ids_of(index.similar(photo(3), top=IMAGES, unlike=EMBEDDING_ND[near[0]].astype(np.float32)))
    assert far.index(near[0]) > 0


def test_a_photograph_against_itself_is_no_error(index: Index) -> None:
    assert len(index.similar(EMBEDDING_ND[3], top=5, unlike=EMBEDDING_ND[3])) == 5


@pytest.mark.parametrize("depth", [1, 3, 1000])
@pytest.mark.parametrize("text", ["grass", "grass sky", "-boat|sky", "boat>=0.5", "path:01*", "never", "grass path:9"])
def test_with_a_query_hits_go_by_the_product(
    text: str, depth: int, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(similar, "DEPTH", depth)
    fits = {int(hit.path[:4]): hit.score for hit in index.query(text, IMAGES)}
    hits = index.similar(photo(3), 12, query=text)
    stored = {id: max(0.0, float(UNIT_ND[3] @ UNIT_ND[id])) * score for id, score in fits.items() if id != 3}
    best = sorted((score for score in stored.values() if score > 0), reverse=True)[:12]
    np.testing.assert_allclose([hit.score for hit in hits], best, atol=2e-3)
    np.testing.assert_allclose([hit.score for hit in hits], [stored[id] for id in ids_of(hits)], atol=2e-3)
    assert all(set(hit.label_scores) == set(index.labels(text)) for hit in hits)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    ids=st.lists(st.integers(0, IMAGES - 1), min_size=1, max_size=3), top=st.integers(1, 40), more=st.integers(1, 40)
)
def test_a_shorter_answer_is_the_beginning_of_a_longer_one(ids: list[int], top: int, more: int, index: Index) -> None:
    photos = [photo(id) for id in ids]
    for query in (None, "grass|boat", "sky>0.1"):
        assert index.similar(photos, top, query=query) == index.similar(photos, top + more, query=query)[:top]


def test_equal_photographs_are_ordered_by_path_however_many_are_asked_for(tmp_path: Path) -> None:
    """FAISS gives any of those that are equally near when not all of them fit in."""
    embedding_ND = np.tile(np.random.default_rng(3).normal(size=(5, DIM)).astype(np.float16), (40, 1))
    names = [f"{number:03d}.jpg" for number in np.random.default_rng(4).permutation(200)]
    annotations = write_annotations(
        tmp_path / "annotations", np.full((200, len(LABELS)), 0.5, np.float16), embedding_ND, path=names
    )
    build(annotations, tmp_path / "index", NullReporter())
    with search.open(tmp_path / "index") as index:
        everything = index.similar(embedding_ND[0], 200)
        assert [hit.path for hit in everything[:40]] == sorted(names[::5])
        for top in (1, 2, 7, 39, 40, 41, 100):
            assert index.similar(embedding_ND[0], top) == everything[:top]


def test_what_cannot_be_asked_for_is_one_line(index: Index) -> None:
    with pytest.raises(UsageError, match="name a photograph"):
        index.similar([])
    with pytest.raises(UsageError, match="finite"):
        index.similar(np.full(DIM, np.nan))
    with pytest.raises(UsageError, match="zebra"):
        index.similar("/no/such/photo.jpg", query="zebra")
