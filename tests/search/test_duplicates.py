"""Near-duplicates: against connected components by brute force."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toy_index import DIM, LABELS, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index import vectors
from aaam_pipeline.index.build import build
from aaam_pipeline.search import duplicates
from aaam_pipeline.search.duplicates import DuplicateGroup, UnionFind, near_duplicates

COUNT = 120


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[search.Index]:
    """Images in tight clusters of 1, 2, 3, ..., with chains, of several sizes and with some equal files."""
    chance = np.random.default_rng(5)
    centres = chance.normal(size=(COUNT, DIM))
    owner = np.minimum(chance.geometric(0.02, COUNT), COUNT) - 1
    embedding_ND = (centres[owner] + 0.05 * chance.normal(size=(COUNT, DIM))).astype(np.float16)
    folder = tmp_path_factory.mktemp("duplicates")
    facts = {
        "width": [int(each) for each in chance.choice([10, 20], COUNT)],
        "height": [10] * COUNT,
        "bytes": [int(each) for each in chance.choice([100, 200], COUNT)],
        "sha256": [f"{each:x}" for each in owner],
    }
    write_annotations(folder / "annotations", np.full((COUNT, len(LABELS)), 0.5, np.float16), embedding_ND, **facts)
    build(folder / "annotations", folder / "index", NullReporter())
    with search.open(folder / "index") as opened:
        yield opened


def reference(index: search.Index, similarity: float) -> list[set[str]]:
    """Connected components by spreading the least number until nothing changes."""
    stored_ND = np.stack([index.vectors.get(id) for id in range(COUNT)])
    near_NN = stored_ND @ stored_ND.T >= similarity - index.vectors.rounding
    label_N = np.arange(COUNT)
    for _ in range(COUNT):
        label_N = np.array([label_N[near_NN[id]].min() for id in range(COUNT)])
    sets = [{f"{id:04d}.jpg" for id in np.flatnonzero(label_N == label)} for label in set(label_N.tolist())]
    return [each for each in sets if len(each) > 1]


def key(groups: list[set[str]]) -> list[list[str]]:
    return sorted(sorted(each) for each in groups)


@pytest.mark.parametrize("similarity", [0.5, 0.9, 0.98, 1.0])
@pytest.mark.parametrize(("block", "compared"), [(512, 16384), (7, 11)])
def test_groups_are_the_connected_components(
    similarity: float, block: int, compared: int, index: search.Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", block)
    monkeypatch.setattr(vectors, "COMPARED", compared)
    groups = near_duplicates(index, similarity, NullReporter())
    assert key([{hit.path for hit in group.hits} for group in groups]) == key(reference(index, similarity))
    if similarity < 1:
        assert groups


def test_the_best_image_of_a_group_comes_first(index: search.Index) -> None:
    groups = near_duplicates(index, 0.9, NullReporter())
    assert [len(group.hits) for group in groups] == sorted((len(group.hits) for group in groups), reverse=True)

    def order(path: str) -> tuple[int, int, str]:
        [(width, height, size)] = index.select("SELECT width, height, bytes FROM images WHERE path = ?", [path])
        return -width * height, -size, path

    for group in groups:
        assert [hit.path for hit in group.hits] == sorted((hit.path for hit in group.hits), key=order)
        assert group.hits[0].score == pytest.approx(1, abs=2e-3)
        assert group.identical[0]


def test_identical_files_are_distinguished_from_similar_ones(index: search.Index) -> None:
    (hashes,) = zip(*index.select("SELECT sha256 FROM images ORDER BY id"), strict=True)
    group: DuplicateGroup
    for group in near_duplicates(index, 0.5, NullReporter()):
        ids = [int(hit.path[:4]) for hit in group.hits]
        assert group.identical == [hashes[id] == hashes[ids[0]] for id in ids]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.lists(st.integers(0, 19), min_size=1, max_size=4)), max_size=15))
def test_union_find_joins_what_is_joined(joins: list[tuple[int, list[int]]]) -> None:
    union, sets = UnionFind(20), [{number} for number in range(20)]
    for id, others in joins:
        union.union(id, np.array(others))
        together = {id, *others}
        sets = [each for each in sets if not each & together] + [set().union(*(s for s in sets if s & together))]
    found = sorted(set(each.tolist()) for each in union.components())
    assert sorted(map(sorted, found)) == sorted(sorted(each) for each in sets if len(each) > 1)


@pytest.mark.parametrize("similarity", [0, -1, 1.01, float("nan")])
def test_a_similarity_that_is_none_is_refused(similarity: float, index: search.Index) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        near_duplicates(index, similarity, NullReporter())
