import time

import pytest

from aaam_pipeline.core.errors import UnknownLabelError, UsageError
from aaam_pipeline.core.vocabulary import Vocabulary
from aaam_pipeline.search.nodes import Label, labels
from aaam_pipeline.search.query import parse

LABELS = ["grass", "football", "traffic light", "person", "light", "traffic", "New York City", "Straße", "rock'n'roll"]
VOCABULARY = Vocabulary(LABELS)


def named(text: str) -> list[str]:
    terms = parse(text, VOCABULARY).terms
    assert all(isinstance(node, Label) for _, node in terms)
    return [LABELS[id] for _, node in terms for id in labels(node)]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("grass", ["grass"]),
        ("football grass", ["football", "grass"]),
        ("  football \t grass\n", ["football", "grass"]),
        ("traffic light", ["traffic light"]),
        ('"traffic light"', ["traffic light"]),
        ('person "traffic light" grass', ["person", "traffic light", "grass"]),
        ("person traffic light grass", ["person", "traffic light", "grass"]),
        ('"traffic" "light"', ["traffic", "light"]),
        ("light traffic", ["light", "traffic"]),
        ("traffic grass light", ["traffic", "grass", "light"]),
        ("new york city person", ["New York City", "person"]),
        ("GRASS Football", ["grass", "football"]),
        ("STRASSE", ["Straße"]),
        ("rock'n'roll", ["rock'n'roll"]),
        ("grass grass GRASS", ["grass"]),
        ('light "traffic light" traffic light', ["light", "traffic light"]),
    ],
)
def test_a_query_names_labels_the_longest_first_each_once(text: str, labels: list[str]) -> None:
    assert named(text) == labels


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_query_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="the query is empty"):
        parse(text, VOCABULARY)


@pytest.mark.parametrize("text", ['"', '"traffic light', 'grass "', 'a"b"c"'])
def test_an_unclosed_quote_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="a quote is not closed"):
        parse(text, VOCABULARY)


def test_every_unknown_word_is_named_with_the_nearest_labels() -> None:
    with pytest.raises(UnknownLabelError) as caught:
        parse('footbal grass "big traffic" parson', VOCABULARY)
    message = str(caught.value)
    assert "'footbal' is not a label; did you mean 'football'? nearest: 'football'" in message
    assert "'big traffic' is not a label; nearest: 'traffic'" in message
    assert "'parson' is not a label; did you mean 'person'? nearest: 'person'" in message
    assert "'grass' is not" not in message
    assert "\n" not in message


def test_an_unknown_word_is_named_once() -> None:
    with pytest.raises(UnknownLabelError) as caught:
        parse("zebra zebra zebra", VOCABULARY)
    assert str(caught.value).count("'zebra' is not a label") == 1


@pytest.mark.parametrize("text", ['""', "-", "*", "#grass", "a|b", "s0", "\\", "grass,football", "\x00"])
def test_what_is_no_label_is_never_taken_for_one(text: str) -> None:
    with pytest.raises(UnknownLabelError):
        parse(text, VOCABULARY)


@pytest.mark.parametrize("text", ["word " * 2000, "grass zebra " * 1000, "x" * 10_000, "traffic " * 2000])
def test_a_long_query_is_answered_at_once(text: str) -> None:
    started = time.perf_counter()
    if text.startswith("traffic"):
        assert named(text) == ["traffic"]
    else:
        with pytest.raises(UnknownLabelError):
            parse(text, VOCABULARY)
    assert time.perf_counter() - started < 5


def test_more_labels_than_a_score_can_hold_are_a_usage_error() -> None:
    words = [f"l{number}" for number in range(101)]
    assert len(parse(" ".join(words[:100]), Vocabulary(words)).terms) == 100
    with pytest.raises(UsageError, match="101 labels"):
        parse(" ".join(words), Vocabulary(words))
