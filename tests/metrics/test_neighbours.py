import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaam_pipeline.index.vectors import unit
from aaam_pipeline.metrics import choose_neighbours, nearest, neighbours, retrieval_map, smooth


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(1, 12))
def test_neighbours_are_those_of_faiss_without_the_image_itself(seed: int, images: int, count: int) -> None:
    embedding = np.random.default_rng(seed).normal(size=(images, 6)).astype(np.float32)
    ids, cosines = nearest(embedding, count)
    index = faiss.IndexFlatIP(6)
    index.add(unit(embedding))
    expected, found = index.search(unit(embedding), images)
    kept = min(count, images - 1)
    assert ids.shape == cosines.shape == (images, kept)
    for own in range(images):
        others = [id for id in found[own].tolist() if id != own]
        assert ids[own].tolist() == others[:kept]
    np.testing.assert_allclose(cosines, expected[:, 1 : kept + 1], atol=1e-5)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    embedding = np.random.default_rng(1).normal(size=(23, 4))
    whole = nearest(embedding, 5)
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    for one, other in zip(nearest(embedding, 5), whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_an_equal_image_is_a_neighbour_and_a_zero_embedding_is_no_error() -> None:
    ids, cosines = nearest(np.array([[1.0, 0], [2, 0], [0, 1], [0, 0]], np.float16), 1)
    assert ids[:2, 0].tolist() == [1, 0]
    np.testing.assert_allclose(cosines[:, 0], [1, 1, 0, 0], atol=1e-6)


@pytest.mark.parametrize("images", [1, 2])
def test_few_images_have_few_neighbours(images: int) -> None:
    ids, cosines = nearest(np.ones((images, 3)), 5)
    assert ids.shape == cosines.shape == (images, images - 1)
    scores = np.full((images, 2), 0.3)
    np.testing.assert_allclose(smooth(scores, ids, cosines, 0.5), scores)


def test_smoothing_is_a_mean_weighted_by_likeness() -> None:
    scores = np.array([[1.0, 0], [0.5, 0.5], [0, 1]])
    ids, cosines = np.array([[1, 2], [0, 2], [0, 1]]), np.array([[0.9, 0.3], [0.9, -0.5], [-0.1, -0.2]])
    found = smooth(scores, ids, cosines, 0.4)
    np.testing.assert_allclose(found[0], 0.6 * scores[0] + 0.4 * (0.75 * scores[1] + 0.25 * scores[2]))
    np.testing.assert_allclose(found[1], 0.6 * scores[1] + 0.4 * scores[0])
    np.testing.assert_allclose(found[2], scores[2], err_msg="nothing is like it: it keeps its scores")
    np.testing.assert_array_equal(smooth(scores, ids, cosines, 0), scores)


def test_of_many_images_some_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    scores, targets, embedding = rng.random((50, 4)), rng.integers(0, 2, (50, 4)), rng.normal(size=(50, 3))
    monkeypatch.setattr(neighbours, "MOST", 25)
    taken = np.linspace(0, 49, 25).astype(int)
    expected = choose_neighbours(scores[taken], targets[taken], embedding[taken])
    assert choose_neighbours(scores, targets, embedding) == expected
    assert taken[0] == 0
    assert taken[-1] == 49


def test_evidence_is_chosen_where_it_helps_and_its_gain_is_what_it_gains() -> None:
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 6, 120)
    targets = np.eye(6, dtype=np.uint8)[groups] | np.eye(6, dtype=np.uint8)[(groups + 1) % 6]
    embedding = np.eye(6)[groups] + rng.normal(0, 0.1, (120, 6))
    noisy = (0.5 + 0.2 * (targets - 0.5) + rng.normal(0, 0.15, targets.shape)).clip(0, 1)
    chosen = choose_neighbours(noisy, targets, embedding)
    assert chosen.gain > 0.02
    smoothed = smooth(noisy, *nearest(embedding, chosen.neighbours), chosen.weight)
    maps = [np.mean([retrieval_map(scores, targets, size)[0] for size in (1, 2, 3)]) for scores in (smoothed, noisy)]
    assert chosen.gain == pytest.approx(maps[0] - maps[1])
    # where neighbours know nothing, there is nothing to be gained, and that is said
    assert choose_neighbours(targets * 0.9, targets, rng.normal(size=(120, 6))).gain <= 0
