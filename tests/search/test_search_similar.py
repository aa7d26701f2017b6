"""Images like a vector, like a photograph of the index, and like one outside it."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import make_photo
from numpy.typing import NDArray
from search.toy_index import DIM, EMBEDDING_ND, IMAGES, ids_of

import aaam_pipeline.search as search
from aaam_pipeline.annotate import backends, inputs, runner
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index.build import build
from aaam_pipeline.search import Index


def test_similar_finds_the_vectors_nearest_by_cosine(index: Index) -> None:
    wide = EMBEDDING_ND.astype(np.float64)
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    for id in (0, 17, 499):
        cosine = unit @ unit[id]
        hits = index.similar(EMBEDDING_ND[id] * 3, top=10)
        assert ids_of(hits)[0] == id
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(cosine)[::-1][:10], atol=2e-3)
        np.testing.assert_allclose([hit.score for hit in hits], cosine[ids_of(hits)], atol=2e-3)


def test_a_photograph_of_the_index_finds_others_and_not_itself(index: Index) -> None:
    hits = index.similar("/photos/0017.jpg", top=10)
    assert len(hits) == 10
    assert 17 not in ids_of(hits)
    assert ids_of(hits) == ids_of(index.similar(EMBEDDING_ND[17], top=11))[1:]


@pytest.mark.parametrize("name", ["/photos/../photos/0017.jpg", "/photos/./0017.jpg", "/../photos//0017.jpg"])
def test_a_photograph_is_known_by_any_spelling_of_its_path(name: str, index: Index) -> None:
    assert index.similar(name, top=5) == index.similar(Path("/photos/0017.jpg"), top=5)


def test_more_than_there_are_gives_all_and_never_an_image_that_is_none(index: Index) -> None:
    assert sorted(ids_of(index.similar(EMBEDDING_ND[3], top=10 * IMAGES))) == list(range(IMAGES))
    assert sorted(ids_of(index.similar("/photos/0003.jpg", top=10 * IMAGES))) == [i for i in range(IMAGES) if i != 3]


def test_a_zero_vector_is_like_nothing_and_no_error(index: Index) -> None:
    assert {hit.score for hit in index.similar(np.zeros(DIM), top=5)} == {0.0}


@pytest.mark.parametrize("shape", [(), (DIM - 1,), (1, DIM), (DIM, 1)])
def test_a_vector_of_another_shape_is_a_usage_error(shape: tuple[int, ...], index: Index) -> None:
    with pytest.raises(UsageError, match=r"a vector must have shape \(8,\)"):
        index.similar(np.ones(shape))


def test_a_photograph_outside_is_embedded(toy_index: Path, tmp_path: Path) -> None:
    asked: list[Path] = []

    def embed(photo: Path) -> tuple[str, NDArray[np.float32]]:
        asked.append(photo)
        return "toy", EMBEDDING_ND[42].astype(np.float32)

    photo = make_photo(tmp_path / "new.jpg", 1)
    with search.open(toy_index, embed) as index:
        hits = index.similar(photo, top=7)
        assert asked == [photo]
        assert ids_of(hits) == ids_of(index.similar(EMBEDDING_ND[42], top=7))
        # one that the index holds needs no model
        index.similar("/photos/0001.jpg")
        assert asked == [photo]


def test_a_photograph_embedded_by_the_model_itself_is_most_like_itself(
    indexed: Path, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jpg"
    shutil.copy(photos / "001.jpg", copy)
    with search.open(indexed, backends.Embedder(tiny_bundle, "cpu")) as index:
        hits = index.similar(copy, top=3)
        assert hits[0].path == "001.jpg"
        assert hits[0].score == pytest.approx(1, abs=0.01)
        own = index.similar(photos / "001.jpg", top=3)
        assert [hit.path for hit in own[:2]] == [hit.path for hit in hits[1:]]


def test_a_model_that_is_not_the_indexs_own_is_refused(toy_index: Path, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "new.jpg", 1)
    with (
        search.open(toy_index, lambda photo: ("other", np.ones(DIM, np.float32))) as index,
        pytest.raises(IntegrityError, match="was built with toy, not other"),
    ):
        index.similar(photo)


def test_a_photograph_outside_needs_a_model(index: Index, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model is at hand"):
        index.similar(make_photo(tmp_path / "new.jpg", 1))
    with pytest.raises(UsageError, match="no photograph"):
        index.similar(tmp_path / "gone.jpg")


def test_a_photograph_with_a_name_that_is_not_utf8_is_found_in_the_index(tiny_bundle: Path, tmp_path: Path) -> None:
    odd = make_photo(tmp_path / "photos" / "a.jpg", 1).rename(tmp_path / "photos" / os.fsdecode(b"\xff.jpg"))
    for number in range(2, 5):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    options = runner.Options()
    runner.annotate(inputs.find([tmp_path / "photos"]), tiny_bundle, tmp_path / "out", options, NullReporter())
    build(tmp_path / "out", tmp_path / "index", NullReporter())
    with search.open(tmp_path / "index") as index:
        assert len(index.similar(odd)) == 3
