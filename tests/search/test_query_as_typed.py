"""Queries as people type them: commas, small words, and/or/not, all kinds of quotes, labels with marks in them."""

from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aaam_pipeline.core.errors import QuerySyntaxError, UnknownLabelError, UsageError
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.search import parser, query
from aaam_pipeline.search.query import Node
from aaam_pipeline.search.thesaurus import LabelResolver, Thesaurus

PLAIN = ["dog", "cat", "grass", "sand", "cup", "saucer", "New York", "sky", "toes", "traffic light", "bird"]
SPECIAL = ["cup and saucer", "salt and pepper", 'a 6" pipe', "R&B", "cat|dog", "yahoo!", "rock (music)", "ratio 3:4",
           "Washington, D.C.", "black & white", "path:x", "-ish", "'tis", "«ça»", "1>0", "label:x", "C++"]  # fmt: skip
RESOLVER = LabelResolver(Vocabulary([*PLAIN, *SPECIAL, "Vögel"]), Thesaurus(parents={"animals": ["dog", "cat"]}))
OPERATORS = LabelResolver(Vocabulary(["dog", "on", "and", "Or", "not", "the", "a", "photo"]), Thesaurus())


def parse(text: str) -> Node:
    return parser.parse(text, RESOLVER).node


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("dog, grass", "dog grass"),
        ("dog,cat", "dog cat"),
        ("dog;cat ;", "dog cat"),
        ("dog， cat、sky", "dog cat sky"),
        ("dog and cat", "dog cat"),
        ("dog AND cat or bird", "dog (cat|bird)"),
        ("dog OR cat", "dog|cat"),
        ("dog or a cat, bird", "(dog|cat) bird"),
        ("NOT cat", "-cat"),
        ("not the cat", "-cat"),
        ("dog AND NOT cat", "dog -cat"),
        ("dog without a cat", "dog -cat"),
        ("dog not (cat or bird)", "dog -(cat|bird)"),
        ("dog & cat", "dog cat"),
        ("dog&cat", "dog cat"),
        ("dog && cat", "dog cat"),
        ("dog || cat", "dog|cat"),
        ("!dog", "-dog"),
        ("!(dog|bird)", "-(dog|bird)"),
        ("dog - cat", "dog -cat"),
        ("dog –cat", "dog -cat"),
        ("dog + cat", "dog cat"),
        ("+dog -cat", "dog -cat"),
        ("'dog'", "dog"),
        ("„dog“ ‚cat‘ “sky” ’bird’ «grass» »sand«", "dog cat sky bird grass sand"),
        ("'traffic light'|dog", '"traffic light"|dog'),
        ("a dog on the grass", "dog grass"),
        ("photos of a dog", "dog"),
        ("to dog", "dog"),
        ("the animals", "dog|cat"),
        ("dog.", "dog"),
        ("dog and cat?", "dog cat"),
        ("dog!", "dog"),
        ("dog!!! cat?! ...", "dog cat"),
        ("dog !!!", "dog"),
        ("dog!,cat!?", "dog cat"),
        ("(dog!)|cat!|'bird'!", "dog|cat|bird"),
        ("dog!(cat)", "dog -cat"),
        ("dog>0.5!", "dog>0.5"),
        ("yahoo!!! yahoo!", '"yahoo!" "yahoo!"'),
        ("label:grass", "grass"),
        ('label: "traffic light" LABEL:new york', '"traffic light" "New York"'),
        ("-label:dog|label:cat", "-dog|cat"),
        ("dog==0.5 and cat ≥ .5", "dog=0.5 cat>=0.5"),
        ("a dog>0.5", "dog>0.5"),
        ("path:“a b/*” dog", 'path:"a b/*" dog'),
        ("path:'a b/*' dog", 'path:"a b/*" dog'),
        ("path:it's dog", 'path:"it\'s" dog'),
        ("no cat", "-cat"),
        ("dog no cat, sky", "dog -cat sky"),
        ("dog except for the cat", "dog -cat"),
        ("dogs only", "dog"),
        ("all dogs", "dog"),
        ("dog but not the cat", "dog -cat"),
        ("dog but no cat", "dog -cat"),
        ("the dog's cup", "dog cup"),
        ("dogs' cup’s!", "dog cup"),
        ("dog/cat", "dog|cat"),
        ("-dog/traffic light sky", '-(dog|"traffic light") sky'),
        ("dog and/or cat sky", "(dog|cat) sky"),
        ("dog / cat", "dog|cat"),
        ('"dog/cat"', "dog|cat"),
        ("vogel", "Vögel"),
        (normalize("NFD", "VÖGEL"), "Vögel"),
        ("traffic_light traffic-light", '"traffic light"'),
        ("cup and the saucer", "cup saucer"),
    ],
)  # fmt: skip
def test_what_is_typed_means_what_is_meant(typed: str, meant: str) -> None:
    assert parse(typed) == parse(meant)


@pytest.mark.parametrize("label", SPECIAL)
def test_a_label_is_a_label_whatever_is_in_it(label: str) -> None:
    id = RESOLVER.vocabulary.id(label)
    quoted = query.quoted(label)
    for text in (label, label.upper(), quoted, f"({label})", f"label:{quoted}", normalize("NFD", label)):
        assert parse(text) == query.Label(id), text
    assert parse(f"dog {label} | sky, {label}") == parse(f"dog {quoted}|sky {quoted}")
    assert parse(f"dog -{quoted} {label}>0.5") == parse(f"dog -{quoted} {quoted}>0.5")


def test_a_label_wins_over_an_operator_and_a_small_word() -> None:
    named = parser.parse("a photo on the dog and not or", OPERATORS)
    assert query.labels(named.node) == [6, 7, 1, 5, 0, 2, 4, 3]
    assert named.notes == []
    # their signs still work
    assert parser.parse("dog | -on & and", OPERATORS).node == parser.parse('(dog|-"on") "and"', OPERATORS).node


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("dog cat|sky -bird", []),
        ("dog and not cat", []),
        ("a dog on the grass", ["searching for: dog grass (left out: a, on, the)"]),
        ("dog,traffic light or cat", ['searching for: dog "traffic light"|cat (a comma means and)']),
        ("the dog, -(a cat)", ["searching for: dog -(cat) (left out: the, a; a comma means and)"]),
        ("a dog >= 0.5 path:x*", ["searching for: dog>=0.5 path:x* (left out: a)"]),
        (
            "the animals",
            ["searching for: animals (left out: the)", "animals is searched as dog|cat"],
        ),
        ("vogel", ["vogel is searched as Vögel"]),
        ("cat!!!", ["searching for: cat (left out: !)"]),
        ("cat.", ["searching for: cat (left out: .)"]),
        ("all cat's", ["searching for: cat (left out: all, 's)"]),
        ("dog/cat only", ['searching for: "dog/cat" (left out: only)', "dog/cat is searched as dog|cat"]),
    ],
)
def test_what_is_forgiven_is_said(text: str, notes: list[str]) -> None:
    named = parser.parse(text, RESOLVER)
    assert named.notes == notes
    for note in notes:
        if note.startswith("searching for: "):
            assert parse(note.removeprefix("searching for: ").rpartition(" (")[0]) == named.node


@pytest.mark.parametrize("text", ["dog and", "and dog", "or dog", "dog or", "dog and and cat", "dog not", "(dog and)"])
def test_an_operator_without_its_operand_is_shown(text: str) -> None:
    with pytest.raises(QuerySyntaxError, match="a label is missing here"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("the", "'the' is not a label; all labels"),
        ("dog|the|cat", "'the' is not a label; all labels"),
        ("zebra", "'zebra' is not a label; all labels: aaam-pipe labels; a new word: aaam-pipe teach"),
        ("gras", "'gras' is not a label; did you mean grass? (all labels"),
        ("size:3", "Fields: path:, root:, after:, before:, unfamiliar:, label:, width, height, bytes"),
        ("'traffic sky'", "did you mean sky or traffic light?"),
    ],
)
def test_only_near_labels_are_suggested(text: str, said: str) -> None:
    with pytest.raises(UnknownLabelError) as caught:
        parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("zebra dog", "; without it: aaam-pipe search dog"),
        ("-zebra dog|xyzzy", "; without them: aaam-pipe search dog"),
        ("dog zebra|traffic light", "; without it: aaam-pipe search 'dog \"traffic light\"'"),
        ("zebra>0.5 & dog cat<0.1", "; without it: aaam-pipe search 'dog cat<0.1'"),
        ("dog 2023", "; with dates as filters: aaam-pipe search 'dog after:2023 before:2024'"),
        ("july 2019", "; with dates as filters: aaam-pipe search 'after:2019-07 before:2019-08'"),
        ("Dec 2019 dog", "; with dates as filters: aaam-pipe search 'dog after:2019-12 before:2020-01'"),
        ("2019-07-14", "; with dates as filters: aaam-pipe search 'after:2019-07-14 before:2019-07-15'"),
        ("14 july 2019", "; with dates as filters: aaam-pipe search 'after:2019-07-14 before:2019-07-15'"),
        ("zebra", "'zebra' is not a label; all labels: aaam-pipe labels; a new word: aaam-pipe teach"),
        ("(zebra) dog", "'zebra' is not a label; all labels: aaam-pipe labels; a new word: aaam-pipe teach"),
        ("july", "'july' is not a label; all labels: aaam-pipe labels; a new word: aaam-pipe teach"),
        ("2019-02-31", "'2019-02-31' is not a label; all labels: aaam-pipe labels; a new word: aaam-pipe teach"),
    ],
)
def test_an_unknown_word_among_known_ones_can_be_left_out(text: str, said: str) -> None:
    with pytest.raises(UnknownLabelError) as caught:
        parse(text)
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize(("text", "said"), [("dog size>1MB", "bytes>1MB"), ("date>=2023", "after:2023 before:2024")])
def test_what_is_no_field_is_told_by_its_name(text: str, said: str) -> None:
    with pytest.raises(QuerySyntaxError, match=said):
        parse(text)


@pytest.mark.parametrize("text", ["the a", ",", "!!!", "?", " , ; ", "a photo of the"])
def test_a_query_of_which_nothing_is_left_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="names no label"):
        parse(text)


MARKS = st.sampled_from(list("\"'“”„‘’,;:|&!()-–+.>=≥ \n"))
MARKED = st.lists(st.one_of(MARKS, st.sampled_from("aàbcß")), max_size=8).map("".join)
LABELS = st.lists(
    st.one_of(st.text(min_size=1, max_size=8), MARKED).filter(str.strip),
    min_size=1,
    max_size=5,
    unique_by=lambda label: " ".join(normalize("NFKC", label).casefold().split()),
)
WORDS = st.sampled_from(["and", "or", "not", "the", "label:", "path:"])
# a number is one of the labels
PIECES = st.lists(st.one_of(st.integers(0, 4), MARKS, WORDS, st.text(max_size=5)), max_size=8)


@settings(deadline=None, max_examples=200)
@given(labels=LABELS, pieces=PIECES)
def test_any_text_over_any_labels_is_a_query_or_a_usage_error(labels: list[str], pieces: list[int | str]) -> None:
    resolver = LabelResolver(Vocabulary(labels), Thesaurus())
    text = " ".join(labels[piece % len(labels)] if isinstance(piece, int) else piece for piece in pieces)
    lines = 1
    try:
        node = parser.parse(text, resolver).node
    except UsageError as raised:
        lines = len(str(raised).split("\n"))
    else:
        assert parser.parse(query.text(node, resolver.vocabulary), resolver).node == node
    assert lines in (1, 3)
