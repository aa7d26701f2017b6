"""Which pictures are unlike all training pictures, by made-up embeddings; and the file that says it."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats import familiarity
from aaam_pipeline.formats.familiarity import CENTROIDS, MARKED, Familiarity, fit, read_familiarity, write_familiarity

DIM = 40


def pictures(count: int, seed: int, first: int = 0) -> NDArray[np.float32]:
    """Embeddings of ten kinds of pictures, each around a direction of its own; of different lengths."""
    random = np.random.default_rng(seed)
    kinds_ND = np.eye(DIM)[first + random.integers(0, 10, count)]
    lengths_N1 = random.uniform(1, 30, (count, 1))
    return ((kinds_ND + random.normal(0, 0.05, (count, DIM))) * lengths_N1).astype(np.float32)


TRAIN_ND = pictures(3000, 1)


@pytest.fixture(scope="module")
def fitted() -> Familiarity:
    return fit(TRAIN_ND, pictures(2000, 2))


def test_the_stated_share_of_familiar_pictures_is_marked_and_others_are(fitted: Familiarity) -> None:
    assert fitted.unfamiliar(pictures(2000, 2)).mean() == pytest.approx(MARKED, abs=0.001)
    assert fitted.unfamiliar(pictures(5000, 3)).mean() < 3 * MARKED
    assert fitted.unfamiliar(pictures(500, 4, first=20)).all()


def test_lengths_do_not_count_and_neither_do_neighbours_in_a_batch(fitted: Familiarity) -> None:
    mixed_ND = np.concatenate([pictures(30, 5), pictures(30, 6, first=20)])
    distance_N = fitted.distances(mixed_ND)
    assert fitted.distances(7 * mixed_ND) == pytest.approx(distance_N)
    alone = np.array([fitted.distances(each[None])[0] for each in mixed_ND])
    assert alone == pytest.approx(distance_N, abs=1e-12)


def test_distances_are_those_of_the_definition(fitted: Familiarity) -> None:
    embedding_ND = pictures(20, 7)
    for embedding_D, distance in zip(embedding_ND, fitted.distances(embedding_ND), strict=True):
        unit_D = embedding_D / np.linalg.norm(embedding_D)
        assert distance == pytest.approx(min(((unit_D - each) ** 2).sum() for each in fitted.centroids_KD), abs=1e-6)


def test_what_is_no_embedding_is_unfamiliar(fitted: Familiarity) -> None:
    broken_ND = np.full((3, DIM), [[np.nan], [np.inf], [0.0]])
    with np.errstate(invalid="ignore"):
        assert fitted.unfamiliar(broken_ND).all()


def test_equal_embeddings_give_equal_bytes_and_they_are_read_back(fitted: Familiarity, tmp_path: Path) -> None:
    write_familiarity(tmp_path / "one", fitted)
    write_familiarity(tmp_path / "two", fit(TRAIN_ND, pictures(2000, 2)))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    read = read_familiarity(tmp_path / "one")
    assert (read.threshold, read.centroids_KD.dtype) == (fitted.threshold, np.float16)
    assert np.array_equal(read.centroids_KD, fitted.centroids_KD)


def test_it_is_small() -> None:
    assert CENTROIDS * 2 * 4096 <= 2**19


def test_few_pictures_are_their_own_centroids() -> None:
    few = fit(TRAIN_ND[:3], TRAIN_ND[:3])
    assert len(few.centroids_KD) == 3
    assert few.distances(TRAIN_ND[:3]) == pytest.approx(0, abs=1e-5)


def test_of_many_pictures_some_are_taken_from_all_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(familiarity, "MOST", 100)
    ordered_ND = TRAIN_ND[np.argsort(TRAIN_ND.argmax(1), kind="stable")]
    assert fit(ordered_ND, TRAIN_ND).unfamiliar(pictures(500, 8)).mean() < 0.05


@pytest.mark.parametrize("missing", ["train", "held out"])
def test_without_pictures_there_is_nothing_to_fit(missing: str) -> None:
    none_ND = TRAIN_ND[:0]
    with pytest.raises(ValueError, match="needs training pictures and held-out ones"):
        fit(none_ND if missing == "train" else TRAIN_ND, none_ND if missing == "held out" else TRAIN_ND)


@pytest.mark.parametrize("content", [b"", b"no file", b"\x02\0\0\0\0\0\0\0{}"])
def test_another_file_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(IntegrityError, match="is damaged: it holds no centroids"):
        read_familiarity(tmp_path / "file")
