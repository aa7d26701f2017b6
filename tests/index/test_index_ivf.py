"""Vectors in lists: what is found of what there is, in which form they are kept, and how lists are taken over."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search.toy_index import DIM, LABELS, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index import vector_builders, vectors
from aaam_pipeline.index.build import build
from aaam_pipeline.index.vector_builders import VectorsInfo, updatable
from aaam_pipeline.index.verify import verify

pytestmark = pytest.mark.slow

COUNT = 3000
# 8 bits fit into it, 16 do not
LITTLE = 3 * COUNT * DIM
ENOUGH = 10**9


@pytest.fixture(autouse=True, scope="module")
def low_limit() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_builders, "FLAT_IMAGES", 500)
        yield


def embeddings(count: int = COUNT, seed: int = 1) -> np.ndarray[Any, Any]:
    """Images around 100 centres, each with a spread of its own, some of them twice."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(100, DIM))
    rows = centres[chance.integers(100, size=count)] + chance.choice([0.2, 0.5], (count, 1)) * chance.normal(
        size=(count, DIM)
    )
    rows[: count // 20] = rows[count // 20 : 2 * (count // 20)]
    return rows.astype(np.float16)


def annotations(folder: Path, embedding_ND: np.ndarray[Any, Any], first: int = 0) -> Path:
    names = [f"{first + number:05d}.jpg" for number in range(len(embedding_ND))]
    scores_NL = np.random.default_rng(2).random((len(names), len(LABELS))).astype(np.float16)
    return write_annotations(folder, scores_NL, embedding_ND, path=names)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same images in an index of each kind, and their annotations."""
    folder = tmp_path_factory.mktemp("ivf")
    rows = annotations(folder / "annotations", embeddings())
    for name, memory in (("fp16", ENOUGH), ("sq8", LITTLE)):
        build(rows, folder / name, NullReporter(), memory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_builders, "FLAT_IMAGES", COUNT)
        build(rows, folder / "flat", NullReporter())
    return {name: folder / name for name in ("annotations", "flat", "fp16", "sq8")}


def test_the_form_follows_from_number_and_memory(built: dict[str, Path]) -> None:
    flat, fp16, sq8 = (manifests.read(built[name]).vectors for name in ("flat", "fp16", "sq8"))
    assert flat == VectorsInfo(kind="flat", codec="fp16")
    assert (fp16.kind, fp16.codec, fp16.trained, fp16.codec_recall) == ("ivf", "fp16", COUNT, 1.0)
    assert (sq8.kind, sq8.codec) == ("ivf", "sq8")
    for info in (fp16, sq8):
        assert info.recall >= 0.95
        assert 0 < info.probes < info.lists
    sizes = [(built[name] / manifests.VECTORS).stat().st_size for name in ("fp16", "sq8")]
    # besides the codes there are the ids and the centres
    assert sizes[0] - sizes[1] > 0.8 * COUNT * DIM


@pytest.mark.parametrize("name", ["fp16", "sq8"])
def test_recall_is_what_the_manifest_says(name: str, built: dict[str, Path]) -> None:
    unit_ND = vectors.unit(embeddings())
    found = []
    with search.open(built[name]) as index:
        for id in np.random.default_rng(9).choice(COUNT, 200, replace=False):
            cosine_N = np.delete(unit_ND @ unit_ND[id], id)
            tenth = np.sort(cosine_N)[-10]
            hits = index.similar(f"/photos/{id:05d}.jpg", top=10)
            ids = [int(hit.path[:5]) for hit in hits]
            assert id not in ids
            found.append((unit_ND[ids] @ unit_ND[id] >= tenth - 2e-3).mean())
        assert np.mean(found) >= 0.95
        assert np.mean(found) >= index.manifest.vectors.recall - 0.03


@settings(max_examples=30, deadline=None)
@given(id=st.integers(0, COUNT - 1), top=st.integers(1, COUNT), more=st.integers(1, COUNT))
@pytest.mark.parametrize("name", ["fp16", "sq8"])
def test_a_shorter_answer_is_the_beginning_of_a_longer_one(
    name: str, id: int, top: int, more: int, built: dict[str, Path]
) -> None:
    with search.open(built[name]) as index:
        longer = index.similar(f"/photos/{id:05d}.jpg", top + more)
        assert index.similar(f"/photos/{id:05d}.jpg", top) == longer[:top]
        # few lists hold few images, but as many are found as were asked for, if the index has them
        assert len(longer) <= top + more
        assert [hit.score for hit in longer] == sorted((hit.score for hit in longer), reverse=True)


def test_of_all_lists_everything_is_found_as_in_a_flat_index(built: dict[str, Path]) -> None:
    with search.open(built["fp16"]) as lists, search.open(built["flat"]) as flat:
        for vector_D in np.random.default_rng(3).normal(size=(5, DIM)):
            one, other = (opened.vectors.nearest(vector_D, 50, exact=True) for opened in (lists, flat))
            assert sorted(id for id, _ in one) == sorted(id for id, _ in other)
            np.testing.assert_allclose([cosine for _, cosine in one], [cosine for _, cosine in other], atol=1e-5)
        # with a query, all images are compared
        for query in ("grass", "sky|boat"):
            one_hits, other_hits = (opened.similar("/photos/00007.jpg", 30, query=query) for opened in (lists, flat))
            assert [hit.path for hit in one_hits] == [hit.path for hit in other_hits]


@pytest.mark.parametrize("memory", [ENOUGH, LITTLE])
def test_an_update_takes_lists_over(memory: int, tmp_path: Path) -> None:
    old, new = annotations(tmp_path / "old", embeddings()), annotations(tmp_path / "new", embeddings(400, 5), COUNT)
    first = build(old, tmp_path / "index", NullReporter(), memory)
    updated = build([new, old], tmp_path / "index", NullReporter(), memory + 800 * DIM)
    assert (updated.images, updated.vectors.trained) == (COUNT + 400, COUNT)
    assert (updated.vectors.codec, updated.vectors.lists) == (first.vectors.codec, first.vectors.lists)
    assert updated.vectors.recall >= 0.95
    verify(tmp_path / "index", NullReporter())
    with search.open(tmp_path / "index") as index:
        assert index.vectors.faiss_index.ntotal == COUNT + 400
        expected_ND = vectors.unit(np.concatenate([embeddings(400, 5), embeddings()]))
        stored_ND = index.vectors.stored(0, COUNT + 400)
        np.testing.assert_allclose(stored_ND, expected_ND, atol=index.vectors.rounding)
        # and away again
    build(old, tmp_path / "index", NullReporter(), memory)
    verify(tmp_path / "index", NullReporter())
    with search.open(tmp_path / "index") as index:
        np.testing.assert_allclose(
            index.vectors.stored(0, COUNT), vectors.unit(embeddings()), atol=index.vectors.rounding
        )


def test_when_lists_are_chosen_anew() -> None:
    info = VectorsInfo("ivf", "fp16", 200, 8, 0.97, 1.0, 10_000)
    assert all(updatable(info, DIM, count, ENOUGH) for count in (5_000, 10_000, 20_000))
    assert not any(updatable(info, DIM, count, ENOUGH) for count in (4_999, 20_001, 500))
    assert not updatable(info, DIM, 10_000, 3 * 10_000 * DIM)
    assert updatable(VectorsInfo("flat", "fp16"), DIM, 500, 0)
    assert not updatable(VectorsInfo("flat", "fp16"), DIM, 501, ENOUGH)


def test_growing_beyond_a_flat_index_builds_lists(tmp_path: Path) -> None:
    few, many = annotations(tmp_path / "few", embeddings(400)), annotations(tmp_path / "many", embeddings(900, 4), 400)
    assert build(few, tmp_path / "index", NullReporter()).vectors.kind == "flat"
    assert build([few, many], tmp_path / "index", NullReporter()).vectors.kind == "ivf"
    assert build(few, tmp_path / "index", NullReporter()).vectors.kind == "flat"
    verify(tmp_path / "index", NullReporter())


def test_too_little_memory_says_how_much_is_needed(built: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--max-memory must be at least 1MB, twice what they take with 8 bits"):
        build(built["annotations"], tmp_path / "index", NullReporter(), 1000)
    assert not (tmp_path / "index").exists()


def test_8_bits_that_lose_too_much_are_refused(tmp_path: Path) -> None:
    """One far value in each dimension leaves the others a few of the 256 levels."""
    near_ND = np.random.default_rng(1).normal(size=DIM) + 1e-3 * np.random.default_rng(2).normal(size=(2000, DIM))
    near_ND[: 2 * DIM] = np.concatenate([np.eye(DIM), -np.eye(DIM)])
    rows = annotations(tmp_path / "annotations", near_ND.astype(np.float16))
    with pytest.raises(UsageError, match=r"of the nearest images are found; .* at least \d+MB for 16"):
        build(rows, tmp_path / "index", NullReporter(), 3 * 2000 * DIM)
    assert build(rows, tmp_path / "index", NullReporter(), 4 * 2000 * DIM).vectors.codec == "fp16"


def test_recall_against_counting() -> None:
    chance = np.random.default_rng(0)
    rows_ND = vectors.unit(chance.normal(size=(300, DIM)))
    ids = vector_builders.sample_queries(300)
    queries_QD = rows_ND[ids]
    tenth_Q = vector_builders.tenth_nearest(queries_QD, np.array_split(rows_ND, 7))
    cosines_QN = queries_QD @ rows_ND.T
    for row, id in enumerate(ids):
        assert tenth_Q[row] == pytest.approx(np.sort(np.delete(cosines_QN[row], id))[-10], abs=1e-6)
    nearest_QK = -np.sort(-cosines_QN, axis=1)[:, : vector_builders.NEIGHBOURS + 1]
    assert vector_builders.recall_at_10(nearest_QK, tenth_Q) == 1
    # the query itself, six of ten, and four that are further away
    assert vector_builders.recall_at_10(np.where(np.arange(11) > 6, -1, nearest_QK), tenth_Q) == pytest.approx(0.6)
    assert vector_builders.recall_at_10(np.full((len(ids), 11), -np.inf), tenth_Q) == 0


def test_a_build_is_the_same_each_time(built: dict[str, Path], tmp_path: Path) -> None:
    build(built["annotations"], tmp_path / "again", NullReporter(), ENOUGH)
    assert manifests.read(tmp_path / "again").vectors == manifests.read(built["fp16"]).vectors
    assert (tmp_path / "again" / manifests.VECTORS).read_bytes() == (built["fp16"] / manifests.VECTORS).read_bytes()


def test_what_a_gpu_would_do_is_asked_of_it(
    built: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in: FAISS copies an index, and copies of all kinds that the GPU has to do with are asked for."""
    copied: list[str] = []

    def copy(index: Any, *options: Any) -> Any:
        copied.append(type(index).__name__)
        return faiss.clone_index(index)

    monkeypatch.setattr(vectors, "gpu_available", lambda: True)
    monkeypatch.setattr(faiss, "index_cpu_to_all_gpus", copy, raising=False)
    build(built["annotations"], tmp_path / "index", NullReporter(), ENOUGH)
    # one to choose the lists with, one to find the list of each vector
    assert len(copied) == 2
    assert all(name.startswith("IndexFlat") for name in copied)
    assert manifests.read(tmp_path / "index").vectors == manifests.read(built["fp16"]).vectors
    monkeypatch.setattr(faiss, "GpuMultipleClonerOptions", SimpleNamespace, raising=False)
    for name in ("flat", "fp16"):
        with search.open(built[name], use_gpu=True) as moved, search.open(built[name]) as kept:
            assert moved.similar("/photos/00007.jpg", 50) == kept.similar("/photos/00007.jpg", 50)
    assert len(copied) == 4
