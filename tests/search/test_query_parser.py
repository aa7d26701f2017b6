"""The grammar: what a text means, and what is said about one that means nothing."""

import re
import time
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aaam_pipeline.core.errors import QuerySyntaxError, UnknownLabelError, UsageError
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.search import filters, parser, query
from aaam_pipeline.search.query import And, Label, MetadataFilter, Node, Not, Or, ScoreFilter
from aaam_pipeline.search.thesaurus import LabelResolver

LABELS = ["grass", "football", "traffic light", "person", "light", "traffic", "New York City", "Straße", "rock'n'roll"]
RESOLVER = LabelResolver(Vocabulary(LABELS))
GRASS, FOOTBALL, TRAFFIC_LIGHT, PERSON, LIGHT, TRAFFIC = map(Label, range(6))


def parse(text: str) -> Node:
    return parser.parse(text, RESOLVER).node


def named(text: str) -> list[str]:
    return [LABELS[id] for id in query.labels(parse(text))]


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
        ('"traffic   light"', ["traffic light"]),
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


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("grass", GRASS),
        ("grass football|person", And((GRASS, Or((FOOTBALL, PERSON))))),
        ("grass | football person", And((Or((GRASS, FOOTBALL)), PERSON))),
        ("grass|traffic light person", And((Or((GRASS, TRAFFIC_LIGHT)), PERSON))),
        ("traffic light|grass", Or((TRAFFIC_LIGHT, GRASS))),
        ("(grass football)|person", Or((And((GRASS, FOOTBALL)), PERSON))),
        ("-grass|football", Or((Not(GRASS), FOOTBALL))),
        ("-(grass|football)", Not(Or((GRASS, FOOTBALL)))),
        ("grass -football", And((GRASS, Not(FOOTBALL)))),
        ("grass - football", And((GRASS, Not(FOOTBALL)))),
        ("+grass +football", And((GRASS, FOOTBALL))),
        ("--grass", GRASS),
        ("-+-grass", GRASS),
        ("-traffic light", Not(TRAFFIC_LIGHT)),
        ("((grass))", GRASS),
        ("(grass football) person", And((GRASS, FOOTBALL, PERSON))),
        ("grass|(football|grass)", Or((GRASS, FOOTBALL))),
        ("grass(football)person", And((GRASS, FOOTBALL, PERSON))),
        ("grass grass|grass", GRASS),
        ("person>=0.8", ScoreFilter(3, ">=", Decimal("0.8"))),
        ("traffic light < .50", ScoreFilter(2, "<", Decimal("0.5"))),
        ('-"traffic light"=1', Not(ScoreFilter(2, "=", Decimal(1)))),
        ("person>0.5|grass", Or((ScoreFilter(3, ">", Decimal("0.5")), GRASS))),
        ("width>1000", MetadataFilter("width", ">", Decimal(1000))),
        ("HEIGHT <= 20.5", MetadataFilter("height", "<=", Decimal("20.5"))),
        ("bytes>=2MB", MetadataFilter("bytes", ">=", Decimal(2000000))),
        ("bytes<1.5kib", MetadataFilter("bytes", "<", Decimal(1536))),
        ("path:holiday/*", MetadataFilter("path", ":", "holiday/*")),
        ('-Path:"my (photos)|/*"', Not(MetadataFilter("path", ":", "my (photos)|/*"))),
        ("(path:a/* grass)", And((MetadataFilter("path", ":", "a/*"), GRASS))),
        ("root:C:/photos<1>", MetadataFilter("root", ":", "C:/photos<1>")),
        ("after:2024", MetadataFilter("after", ":", date(2024, 1, 1))),
        ("before:2024-5", MetadataFilter("before", ":", date(2024, 5, 1))),
        ('after:"2024-05-09"', MetadataFilter("after", ":", date(2024, 5, 9))),
    ],
)  # fmt: skip
def test_a_text_means_a_tree_which_can_be_written_again(text: str, node: Node) -> None:
    assert parse(text) == node
    assert parse(query.text(node, RESOLVER.vocabulary)) == node


def test_a_label_named_like_a_field_wins_only_in_quotes() -> None:
    resolver = LabelResolver(Vocabulary(["width", "a"]))
    assert parser.parse("width>1000", resolver).node == MetadataFilter("width", ">", Decimal(1000))
    assert parser.parse('"width">0.5', resolver).node == ScoreFilter(0, ">", Decimal("0.5"))
    assert parser.parse("width a", resolver).node == And((Label(0), Label(1)))
    for node in (ScoreFilter(0, ">", Decimal("0.5")), Or((Label(0), Label(1)))):
        assert parser.parse(query.text(node, resolver.vocabulary), resolver).node == node


@pytest.mark.parametrize(
    ("text", "message", "under"),
    [
        ("(grass", "this parenthesis is not closed", "(grass"),
        ("grass ((person) football", "this parenthesis is not closed", "((person) football"),
        ("grass) person", "no parenthesis is open here", ") person"),
        ("grass ()", "missing in the parentheses", ")"),
        ("|grass", "a label is missing here", "|grass"),
        ("grass| |person", "a label is missing here", "|person"),
        ("grass |", "a label is missing here", ""),
        ("grass -", "a label is missing here", ""),
        ("(grass -)", "a label is missing here", ")"),
        ('grass "traffic', "a quote is not closed", '"traffic'),
        (">5", "a label, width, height or bytes is missing here", ">5"),
        ("grass>", "a number is missing here", ""),
        ("grass>-1", "a number is missing here", "-1"),
        ("grass>person", "this is no number", "person"),
        ("grass>=80", "between 0 and 1", "80"),
        ("grass>=1e3", "this is no number", "1e3"),
        ("width>2MB", "this is no number", "2MB"),
        ("bytes>2XB", "this is no size", "2XB"),
        ("bytes>9999999999999999999999999999TB", "no file is that large", "9999999999999999999999999999TB"),
        ("after:yesterday", "this is no date", "yesterday"),
        ("after:2024-13", "this is no date", "2024-13"),
        ('grass before:"2023-02-29"', "this is no date", '2023-02-29"'),
        ("path: grass", "path: needs a value", " grass"),
        ("grass path:" + "x" * 1001, "a pattern may have 1000 characters", "x" * 50 + "..."),
        ("(" * 51 + "grass" + ")" * 51, "nested deeper than 50", "(grass" + ")" * 44 + "..."),
        ("草地 ｆｏｏｔ -", "a label is missing here", ""),
        ("e\u0301te\u0301 |", "a label is missing here", ""),
        ("grass\t\n(", "a label is missing here", ""),
    ],
)  # fmt: skip
def test_a_caret_shows_the_position(text: str, message: str, under: str) -> None:
    with pytest.raises(QuerySyntaxError, match="^" + "(?s:.*)" + message) as caught:
        parse(text)
    first, shown, caret = str(caught.value).split("\n")
    assert message in first
    assert caret.strip() == "^"
    # columns of a terminal: the wide characters used here are those from U+2E80 on, one is combining
    columns = [each for each in shown for _ in range(0 if each == "\u0301" else 2 if each >= "\u2e80" else 1)]
    assert "".join(columns[len(caret) - 1 :]) == under


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_query_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="the query is empty"):
        parse(text)


@pytest.mark.parametrize("text", ['"', '"traffic light', 'grass "', 'a"b"c"'])
def test_an_unclosed_quote_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="a quote is not closed"):
        parse(text)


def test_every_unknown_word_is_named_with_the_nearest_labels() -> None:
    with pytest.raises(UnknownLabelError) as caught:
        parse('footbal grass "big traffic" persn')
    message = str(caught.value)
    assert "'footbal' is not a label; did you mean football? (all labels: aaam-pipe labels); " in message
    assert "'big traffic' is not a label; did you mean traffic light, " in message
    assert "'persn' is not a label; did you mean person? (all" in message
    assert "'grass' is not" not in message
    assert "\n" not in message


def test_an_unknown_word_is_named_once() -> None:
    with pytest.raises(UnknownLabelError) as caught:
        parse("zebra zebra zebra")
    assert str(caught.value).count("'zebra' is not a label") == 1


@pytest.mark.parametrize("text", ['""', "*", "#grass", "a|b", "s0", "\\", "the", "\x00", "';'", "size:3"])
def test_what_is_no_label_is_never_taken_for_one(text: str) -> None:
    with pytest.raises(UnknownLabelError):
        parse(text)


@pytest.mark.parametrize("text", ["word " * 2000, "grass zebra " * 1000, "x" * 10_000, "traffic " * 2000])
def test_a_long_query_is_answered_at_once(text: str) -> None:
    started = time.perf_counter()
    if text.startswith("traffic"):
        assert named(text) == ["traffic"]
    else:
        with pytest.raises(UnknownLabelError):
            parse(text)
    assert time.perf_counter() - started < 5


def test_more_labels_than_a_score_can_hold_are_a_usage_error() -> None:
    words = [f"l{number}" for number in range(121)]
    resolver = LabelResolver(Vocabulary(words))
    assert len(query.labels(parser.parse(" ".join(words[:120]), resolver).node)) == 120
    with pytest.raises(UsageError, match="121 labels"):
        parser.parse(" ".join(words), resolver)
    with pytest.raises(UsageError, match="101 filters"):
        parser.parse(" ".join(f"width>{number}" for number in range(101)), resolver)


NAME = "nfc_normalize|path|root|width|height|bytes|taken|mtime"
SQL = rf"({NAME}|LIKE|ESCAPE|coalesce|false|DATE|TIMESTAMP|\d+|\$1|'\^'|[ (),<>=:])*"
PIECES = ["grass", "traffic", "light", "footbal", "people", '"', "(", ")", "|", "-", "+", ">=", "=", "0.5", "width",
          "bytes", "2MB",  "path:", "after:", "2024", "*", " ", "\0", "\udcff", "é", "'; DROP TABLE x; --",
          " and ", " or ", " not ", ",", ";", "&&", "||", "!", " the ", "'", "“", "’", "label:", "≥"]  # fmt: skip


@example("gra\ud83dss")
# the examples are longer than any query, and take their time on a busy machine
@pytest.mark.slow
@settings(deadline=None)
@example("(" * 100_000)
@example("-" * 100_000 + "grass")
@example("(-" * 60 + "grass")
@example("grass|" * 10_000 + "grass")
@example('"' * 9_999)
@given(st.one_of(st.lists(st.sampled_from(PIECES)).map("".join), st.text()))
def test_any_text_is_a_query_or_a_usage_error(text: str) -> None:
    try:
        node = parse(text)
    except UsageError as raised:
        lines = str(raised).split("\n")
    else:
        assert parse(query.text(node, RESOLVER.vocabulary)) == node
        # nothing of the text is in the statements
        leaves = [leaf for leaf in query.leaves(node) if isinstance(leaf, query.MetadataFilter)]
        assert all(re.fullmatch(SQL, filters.condition(each)[0]) for each in leaves)
        return
    assert len(lines) in (1, 3)
    assert all(line.isprintable() for line in lines)


def test_a_query_of_labels_alone_needs_no_words_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise AssertionError("the words were read")

    monkeypatch.setattr("aaam_pipeline.search.thesaurus.load", load)
    resolver = LabelResolver(Vocabulary(LABELS))
    assert parser.parse('grass "traffic light"|light traffic -person', resolver).notes == []
    with pytest.raises(AssertionError, match="the words were read"):
        parser.parse("people", resolver)
