import numpy as np
import pytest
from curation.array_library import ArrayLibrary, decided

from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.curation import review as reviews
from aaam_pipeline.curation.review import review
from aaam_pipeline.formats.decisions import resolve

NOTHING = resolve([])


def random_library(count: int = 300, labels: int = 3) -> ArrayLibrary:
    chance = np.random.default_rng(5)
    return ArrayLibrary(chance.beta(0.3, 1, (count, labels)), chance.normal(size=(count, 4)))


def test_decisions_are_not_asked_again_and_all_others_can_be() -> None:
    library = random_library(40)
    everything = review(library, NOTHING, NullReporter(), top=1000)
    assert len(everything) == 40 * 3
    assert [item.worth for item in everything] == sorted((item.worth for item in everything), reverse=True)
    said = [(item.row, item.label, item.assigned) for item in everything[:50]]
    again = review(library, decided(said), NullReporter(), top=1000)
    asked = {(item.row, item.label) for item in again}
    assert asked == {(item.row, item.label) for item in everything[50:]}
    all_decided = decided((item.row, item.label, True) for item in everything)
    assert review(library, all_decided, NullReporter()) == []


def test_a_shorter_list_is_the_beginning_of_a_longer_one() -> None:
    library = random_library()
    assert review(library, NOTHING, NullReporter(), top=7) == review(library, NOTHING, NullReporter(), top=90)[:7]


def test_only_the_labels_named() -> None:
    found = review(random_library(), NOTHING, NullReporter(), labels=["label 2"], top=10)
    assert {item.label for item in found} == {"label 2"}
    assert len(found) == 10


def test_a_word_of_few_photographs_comes_before_one_of_many() -> None:
    # one photograph of ten is as uncertain as one of a hundred, but it is a tenth of its word
    few, many = np.full(300, 0.001), np.full(300, 0.001)
    few[:10], many[:100] = 0.99, 0.99
    few[9] = many[99] = 0.6
    first = review(ArrayLibrary(np.stack([many, few], axis=1)), NOTHING, NullReporter(), top=1)
    assert [(item.row, item.label, item.assigned) for item in first] == [(9, "label 1", True)]


def test_neighbours_that_say_otherwise_are_a_reason() -> None:
    # of the group with all others assigned, one is not; the model is sure
    embedding_ND = np.repeat(np.eye(2), 30, axis=0) + 0.01
    score_N = np.array([0.97] * 30 + [0.01] * 30)
    score_N[7] = 0.1
    found = review(ArrayLibrary(score_N[:, None], embedding_ND), NOTHING, NullReporter(), top=1)
    assert (found[0].row, found[0].why, found[0].assigned) == (7, "neighbours differ", False)
    assert found[0].neighbours == pytest.approx(0.97)
    # what was decided of the neighbours counts more than their scores
    others = decided((row, "label 0", False) for row in range(30) if row != 7)
    after = next(
        item for item in review(ArrayLibrary(score_N[:, None], embedding_ND), others, NullReporter()) if item.row == 7
    )
    assert after.chance_wrong < found[0].chance_wrong / 3


def test_keywords_of_files_that_are_probably_wrong_or_forgotten() -> None:
    score_N = np.array([0.95] * 20 + [0.03] * 60)
    library = ArrayLibrary(np.stack([score_N, score_N[::-1]], axis=1))
    # everybody is tagged with one of the labels; one was given the wrong one, one lacks it
    tags = [(row, "label 0" if row < 20 else "label 1", True) for row in range(80)]
    tags[4], tags[30] = (4, "label 1", True), (30, "label 0", True)
    kinds = {(item.row, item.label): item.why for item in review(library, decided(tags, "file"), NullReporter())}
    assert kinds[30, "label 0"] == "given, but unlikely"
    assert kinds[4, "label 0"] == "not given, but likely"
    # a person's word is not asked about
    said = review(library, decided(tags, "person"), NullReporter())
    assert "given, but unlikely" not in {item.why for item in said}


def test_of_a_large_library_only_some_are_looked_at_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    library = random_library(400)
    everything = {(item.row, item.label) for item in review(library, NOTHING, NullReporter(), top=20)}
    monkeypatch.setattr(reviews, "LOOKED_AT", 60)
    some = {(item.row, item.label) for item in review(library, NOTHING, NullReporter(), top=20)}
    assert len(library.asked[-1]) == 60
    # the neighbours of these are random, and count
    assert len(everything & some) >= 14


def test_an_empty_library_has_nothing_to_review() -> None:
    assert review(ArrayLibrary(np.zeros((0, 2))), NOTHING, NullReporter()) == []
