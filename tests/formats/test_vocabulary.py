import re
from unicodedata import normalize

import pytest

from aaam_pipeline.core.errors import IntegrityError, UnknownLabelError
from aaam_pipeline.formats.vocabulary import Vocabulary, fault_of_labels, suggestions

WORDS = Vocabulary(["sky", "Traffic Light", "football", "person", "sports ball", "dog"])


def test_ids_are_the_places_of_the_labels() -> None:
    assert [WORDS.id(label) for label in WORDS] == list(range(len(WORDS))) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("word", ["traffic light", "TRAFFIC LIGHT", "Traffic Light"])
def test_case_is_ignored(word: str) -> None:
    assert WORDS.id(word) == 1
    assert word in WORDS


def test_what_is_no_label_is_not_contained() -> None:
    assert "traffic" not in WORDS
    assert 1 not in WORDS


@pytest.mark.parametrize(
    ("word", "labels"),
    [
        ("footbal", ["football"]),
        ("persn", ["person"]),
        ("preson", ["person"]),
        ("dag", ["dog"]),
        ("light", ["Traffic Light"]),
        ("trafic", ["Traffic Light"]),
        ("ball", ["sports ball"]),
        ("TRAFFIC", ["Traffic Light"]),
        ("big dog", ["dog"]),
        ("föötball", ["football"]),
        ("and", []),
        ("do", []),
        ("x", []),
        ("zebra", []),
        ("", []),
        ("x" * 1000, []),
    ],
)
def test_only_near_labels_are_suggested(word: str, labels: list[str]) -> None:
    assert suggestions(word, WORDS) == labels
    with pytest.raises(UnknownLabelError) as caught:
        WORDS.id(word)
    assert ("did you mean" in str(caught.value)) == bool(labels)
    assert all(label in str(caught.value) for label in labels)
    assert "all labels: aaam-pipe labels" in str(caught.value)


def test_at_most_three_labels_are_suggested_the_nearest_first() -> None:
    assert suggestions("cats", ["bats", "rats", "hats", "cat", "cars"]) == ["bats", "rats", "hats"]
    assert suggestions("horses", ["houses", "horsse", "horses x", "hoses"]) == ["houses", "horsse", "hoses"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_unicode_form_of_a_label_does_not_matter(form: str) -> None:
    vocabulary = Vocabulary([normalize("NFD", "Vögel"), normalize("NFC", "Köln am Rhein")])
    assert [vocabulary.find(normalize(form, word)) for word in ("VÖGEL", "köln  am rhein", "vogel")] == [0, 1, None]
    twins = Vocabulary([normalize("NFC", "café"), normalize("NFD", "café")])
    assert [twins.find(label) for label in twins] == [0, 1]


@pytest.mark.parametrize("labels", [[], ["sky", "sea", "sky"], ["sky", "SKY"], ["straße", "STRASSE"]])
def test_no_labels_or_one_twice_is_refused(labels: list[str]) -> None:
    with pytest.raises(IntegrityError):
        Vocabulary(labels)


def test_the_hash_depends_on_labels_and_order() -> None:
    assert Vocabulary(["a", "b"]).hash == Vocabulary(["a", "b"]).hash
    assert len({Vocabulary(each).hash for each in (["a", "b"], ["b", "a"], ["a"], ["ab"])}) == 4


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([], "there are no labels"),
        (["sky", ""], "label 2 of 2 is blank: ''"),
        ([" \n", "sky"], r"label 1 of 2 is blank: ' \\n'"),
        (["sky", "\u3000"], r"label 2 of 2 is blank: '\\u3000'"),
        (["sky", "\u200b"], r"label 2 of 2 is blank: '\\u200b'"),
        (["sky", "sea", "sky"], "only: 'sky' = 'sky'$"),
        (["Sky", "sea", "sKy"], "only: 'Sky' = 'sKy'$"),
        (["Straße", "STRASSE"], "only: 'Straße' = 'STRASSE'$"),
        (["caf\u00e9", "cafe\u0301"], r"only: 'caf\\xe9' = 'cafe\\u0301'$"),
        (["\ufb01sh", "Fish", "fish"], r"only: '\\ufb01sh' = 'Fish' = 'fish'$"),
        (["hot dog", "hot  dog"], r"only: 'hot dog' = 'hot\\x20\\x20dog'$"),
        ([*"abcdefg", *"ABCDEFG"], "'a' = 'A', 'b' = 'B', 'c' = 'C', 'd' = 'D', 'e' = 'E', and 2 more$"),
    ],
)
def test_labels_that_nobody_can_tell_apart_are_named_in_one_line(labels: list[str], said: str) -> None:
    fault = fault_of_labels(labels)
    assert re.search(said, fault)
    assert "\n" not in fault


@pytest.mark.parametrize("labels", [["sky"], list(WORDS), ["hot dog", "hotdog"], ["café", "cafe"], ["犬", "猫", "🐕"]])
def test_labels_that_differ_are_a_vocabulary(labels: list[str]) -> None:
    assert fault_of_labels(labels) == ""


def test_older_vocabularies_are_read_as_they_were() -> None:
    assert list(Vocabulary(["caf\u00e9", "cafe\u0301", ""])) == ["caf\u00e9", "cafe\u0301", ""]
