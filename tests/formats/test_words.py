"""When a word counts as known badly, and what is said of it."""

import pytest

from aaam_pipeline.formats.words import NAMED, WordSupport, notes, weakness, weaknesses


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (WordSupport(100, 900, 20, 80, 0.9), ""),
        (WordSupport(100, 900, 20, 80, 0.3), ""),
        (WordSupport(100, 900, 7, 80, 0.124), "AP 0.12 on 7 validation photographs"),
        (WordSupport(10, 900, 3, 80, 0.8), ""),
        (WordSupport(9, 900, 30, 80, 0.8), "learned from 9 photographs"),
        (WordSupport(1, 900, 0, 80), "learned from 1 photograph"),
        (WordSupport(0, 900, 0, 80), "learned from no photographs"),
        (WordSupport(100, 900, 2, 80, 1.0), "judged by 2 validation photographs"),
        (WordSupport(100, 900, 1, 80, 1.0), "judged by 1 validation photograph"),
        (WordSupport(100, 900, 0, 80), "judged by no validation photographs"),
    ],
)
def test_a_word_is_known_badly_below_the_line(word: WordSupport, why: str) -> None:
    assert weakness(word) == why


def test_a_query_hears_of_its_bad_words_alone_and_not_of_dozens() -> None:
    bad, good = WordSupport(100, 900, 7, 80, 0.1), WordSupport(100, 900, 7, 80, 0.9)
    labels = [f"word {number}" for number in range(NAMED + 3)]
    weak = weaknesses(labels, [good] + [bad] * (NAMED + 2))
    assert set(weak) == set(labels[1:])
    assert notes(labels[:1], weak) == []
    assert notes(labels[:2], weak) == ["'word 1' is a word this model knows badly: AP 0.10 on 7 validation photographs"]
    said = notes(labels, weak)
    assert len(said) == NAMED + 1
    assert said[-1].startswith("2 more words of this query are")
    assert notes(labels[: NAMED + 2], weak)[-1].startswith("one more word of this query is")


def test_nothing_is_said_where_the_model_says_nothing() -> None:
    assert weaknesses(["a", "b"], []) == {}
