"""The query language: what is parsed as what, and that the index answers exactly as an evaluation by hand."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search.toy_index import LABELS, SCORES_NL, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core import ranking
from aaam_pipeline.core.errors import QueryError, UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.core.vocabulary import Vocabulary
from aaam_pipeline.core.words import Words
from aaam_pipeline.index.build import build
from aaam_pipeline.search import Index
from aaam_pipeline.search.nodes import Any, Every, Fact, Glob, Label, Node, Not, Score
from aaam_pipeline.search.query import parse

COUNT = 200
CODES_NL = ranking.encode(SCORES_NL[:COUNT])
# the later an image was annotated, the earlier its path: ties go by path, not by age
PATHS = [f"{'holiday' if number % 3 else 'Work'}/{COUNT - number:04d}.jpg" for number in range(COUNT)]
WIDTHS = [None if number % 7 == 0 else 100 * (number % 20) for number in range(COUNT)]
DATES = [datetime(2020 + number % 6, 1 + number % 12, 1 + number % 28, tzinfo=UTC) for number in range(COUNT)]
VOCABULARY = Vocabulary(LABELS)
WORDS = Words({"person": ["people", "man"], "boat": ["ship"]}, {"nature": ["grass", "sky", "sea"]})


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("language")
    vectors = np.random.default_rng(1).normal(size=(COUNT, 8)).astype(np.float16)
    annotations = write_annotations(folder / "annotations", SCORES_NL[:COUNT], vectors)
    part = annotations / "part-00000.parquet"
    rows = pq.read_table(part)
    for name, values in {"path": PATHS, "width": WIDTHS, "mtime": DATES}.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array(values, rows.schema.field(name).type))
    pq.write_table(rows, part)
    build(annotations, folder / "index", NullReporter())
    with search.open(folder / "index", words=WORDS) as opened:
        yield opened


def value(node: Node, image: int) -> Fraction:
    """Evaluate as docs/search.md says, in exact fractions."""
    if isinstance(node, Label):
        return Fraction(int(CODES_NL[image, node.id]), 255)
    if isinstance(node, Not):
        return 1 - value(node.part, image)
    if isinstance(node, Every):
        found = Fraction(1)
        for part in node.parts:
            found *= value(part, image)
        return found
    if isinstance(node, Any):
        missed = Fraction(1)
        for part in node.parts:
            missed *= 1 - value(part, image)
        return 1 - missed
    compare = {
        ">": lambda a, b: a > b,
        "<": lambda a, b: a < b,
        ">=": lambda a, b: a >= b,
        "<=": lambda a, b: a <= b,
        "=": lambda a, b: a == b,
    }
    if isinstance(node, Score):
        shown = round(int(CODES_NL[image, node.id]) / 255, 6)
        return Fraction(compare[node.compare](shown, round(node.value, 6)))
    if isinstance(node, Fact):
        fact = WIDTHS[image] if node.name == "width" else DATES[image].replace(tzinfo=None)
        return Fraction(fact is not None and compare[node.compare](fact, node.value))
    beginning = node.pattern.removesuffix("*")
    return Fraction(PATHS[image].startswith(beginning))


def text(node: Node, inside: bool = False) -> str:
    """Write a query that means this."""
    if isinstance(node, Label):
        return f'"{LABELS[node.id]}"'
    if isinstance(node, Not):
        return f"-{text(node.part, True)}"
    if isinstance(node, Every | Any):
        joined = (" | " if isinstance(node, Any) else " ").join(text(part, True) for part in node.parts)
        return f"({joined})" if inside else joined
    if isinstance(node, Score):
        return f'"{LABELS[node.id]}"{node.compare}{node.value:.3f}'
    if isinstance(node, Glob):
        return f"{node.name}:{node.pattern}"
    if isinstance(node.value, datetime):
        return f"{'after' if node.compare == '>=' else 'before'}:{node.value:%Y-%m-%d}"
    return f"{node.name}{node.compare}{node.value:.0f}"


YEARS = st.integers(2019, 2027)
COMPARISONS = st.sampled_from([">=", "<=", ">", "<", "="])
LEAVES = st.one_of(
    st.builds(Label, st.integers(0, len(LABELS) - 1)),
    st.builds(Label, st.integers(0, len(LABELS) - 1)),
    st.builds(Score, st.integers(0, len(LABELS) - 1), COMPARISONS, st.integers(0, 1000).map(lambda n: n / 1000)),
    st.builds(Fact, st.just("width"), COMPARISONS, st.integers(0, 20).map(lambda n: 100.0 * n)),
    st.builds(Fact, st.just("mtime"), st.sampled_from([">=", "<"]), YEARS.map(lambda year: datetime(year, 3, 1))),
    st.builds(Glob, st.just("path"), st.sampled_from(["holiday/*", "Work/*", "holiday/01*", "*"])),
)  # fmt: skip
QUERIES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(lambda parts: Every(tuple(parts)), st.lists(inner, min_size=2, max_size=3, unique=True)),
        st.builds(lambda parts: Any(tuple(parts)), st.lists(inner, min_size=2, max_size=3, unique=True)),
    ),
    max_leaves=8,
)


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(node=QUERIES, top=st.integers(1, COUNT))
def test_the_index_answers_as_exact_fractions_do(node: Node, top: int, index: Index) -> None:
    query = text(node)
    exact = [(value(node, image), PATHS[image]) for image in range(COUNT)]
    expected = sorted(((score, path) for score, path in exact if score), key=lambda hit: (-hit[0], hit[1]))
    hits = index.query(query, COUNT)
    assert index.query(query, top) == hits[:top]
    np.testing.assert_allclose(
        [hit.score for hit in hits], [float(score) for score, _ in expected], rtol=1e-9, atol=1e-12
    )
    if query.count('"') <= 2 * 6:
        # up to six labels scores are exact, and so is the order of ties
        assert [hit.path for hit in hits] == [path for _, path in expected]
    else:
        assert {hit.path for hit in hits} == {path for _, path in expected}


@pytest.mark.parametrize(
    ("query", "node"),
    [
        ("grass sky|boat", Every((Label(0), Any((Label(1), Label(4)))))),
        ("grass | sky | boat", Any((Label(0), Label(1), Label(4)))),
        ("traffic light|boat", Any((Label(2), Label(4)))),
        ("boat|traffic light grass", Every((Any((Label(4), Label(2))), Label(0)))),
        ("-grass", Not(Label(0))),
        ("+grass -sky", Every((Label(0), Not(Label(1))))),
        ("--grass", Not(Not(Label(0)))),
        ("-(grass sky)", Not(Every((Label(0), Label(1))))),
        ("-grass|sky", Any((Not(Label(0)), Label(1)))),
        ("(grass)", Label(0)),
        ("person>=0.8", Score(3, ">=", 0.8)),
        ("traffic light > .5", Score(2, ">", 0.5)),
        ('"traffic light"<1', Score(2, "<", 1.0)),
        ("WIDTH>1000", Fact("width", ">", 1000.0)),
        ("bytes>=2MB", Fact("bytes", ">=", 2e6)),
        ("path:a*b(", None),
        ('path:"my photos/*"', Glob("path", "my photos/*")),
        ("after:2024-05", Fact("mtime", ">=", datetime(2024, 5, 1))),
        ("before:2024", Fact("mtime", "<", datetime(2024, 1, 1))),
        ("people", Label(3)),
        ("ships", Label(4)),
        ("boats", Label(4)),
        ("Men|boat", Any((Label(3), Label(4)))),
        ("nature", Any((Label(0), Label(1)))),
        ("-nature>0.5", Not(Any((Score(0, ">", 0.5), Score(1, ">", 0.5))))),
    ],
)
def test_what_is_parsed_as_what(query: str, node: Node | None) -> None:
    if node is None:
        with pytest.raises(QueryError):
            parse(query, VOCABULARY, WORDS)
    else:
        root = parse(query, VOCABULARY, WORDS).root
        assert (root.parts[0] if len(root.parts) == 1 else root) == node


def test_words_that_are_searched_as_others_are_told() -> None:
    found = parse("people grass nature Boats", VOCABULARY, WORDS)
    assert found.taken == {"people": "person", "nature": "grass, sky", "Boats": "boat"}


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("grass )", 6),
        ("grass (sky", 6),
        ("grass ()", 6),
        ("grass |", 7),
        ("| grass", 0),
        ("grass || sky", 7),
        ("person>=", 8),
        ("person>=much", 8),
        ("after:soon", 0),
        ("sky path:", 4),
        ('sky "boat', 4),
        (">3", 0),
        ("-" * 60 + "grass", 50),
        ("(" * 5000, 50),
    ],
)
def test_an_error_knows_its_place(query: str, place: int) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query, VOCABULARY, WORDS)
    assert caught.value.place == place
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "columns"), [("grass )", 6), ("路灯 )", 5), ("e\u0301 )", 2), ("a\tb )", 4), ("x " * 500 + ")", 64)]
)
def test_the_caret_stands_below_the_place(query: str, columns: int) -> None:
    shown, caret = QueryError("", query, query.index(")")).pointer().split("\n")
    assert caret == " " * (2 + columns) + "^"
    assert len(shown) < 150


def test_each_term_is_explained(index: Index) -> None:
    for hit in index.query("sky -boat (grass|person) width>=0", 20, explain=True):
        image = PATHS.index(hit.path)
        sky, boat, grass, person = (int(CODES_NL[image, id]) / 255 for id in (1, 4, 0, 3))
        either = 1 - (1 - grass) * (1 - person)
        assert list(hit.terms) == ["sky", "-boat", "(grass|person)", "width>=0"]
        assert list(hit.terms.values()) == pytest.approx([sky, 1 - boat, either, 1])
        assert hit.score == pytest.approx(np.prod(list(hit.terms.values())))
        assert hit.label_scores == pytest.approx({"sky": sky, "boat": boat, "grass": grass, "person": person})


@pytest.mark.parametrize(
    "query",
    [
        "path:*';DROP TABLE scores;--",
        'path:"\' OR 1=1 --"',
        "grass>=0.5;DROP",
        "root:?",
        "path:[",
        "path:\x00",
        "after:2024-05-01'",
        "width>1e999",
        "(((((grass)))))|path:%s",
    ],
)
def test_hostile_values_are_data(query: str, index: Index) -> None:
    with suppress(UsageError):
        assert len(index.query(query, COUNT)) <= COUNT
    assert len(index.query("grass|-grass", COUNT)) == COUNT


def test_a_long_query_is_parsed_soon() -> None:
    started = time.perf_counter()
    for query in ("grass|" * 3000 + "sky", "-grass " * 3000, "(grass) " * 3000, "sky>0.5 " * 3000):
        parse(query, VOCABULARY, WORDS)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("content", ["synonyms: [a]", "nonsense: {}", "{", "synonyms: {a: b}", b"\xff\xfe\x00"])
def test_a_bad_file_of_words_is_one_clear_line(content: str | bytes, tmp_path: Path) -> None:
    file = tmp_path / "words.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=r"words\.yaml is not a file of words") as caught:
        Words.read(file)
    assert len(str(caught.value)) < 500
    with pytest.raises(UsageError, match="cannot read"):
        Words.read(tmp_path / "gone.yaml")


def test_parents_in_a_circle_end() -> None:
    words = Words({}, {"a": ["b", "sky"], "b": ["a", "boat"]})
    assert words.find("a", VOCABULARY) == [1, 4]


def test_the_shipped_words_name_each_other_sensibly() -> None:
    words = Words.shipped()
    coco = Vocabulary(["person", "dog", "cat", "horse", "sports ball", "cell phone", "knife"])
    named = {
        word: [coco.labels[id] for id in words.find(word, coco)] for word in ("people", "man", "soccer", "animals")
    }
    assert named == {
        "people": ["person"],
        "man": ["person"],
        "soccer": ["sports ball"],
        "animals": ["dog", "cat", "horse"],
    }
