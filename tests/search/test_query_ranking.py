"""Random queries against a plain NumPy evaluation of the definition in docs/search.md."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from search.toy_index import EMBEDDING_ND, IMAGES, LABELS, SCORES_NL, write_annotations

import aaam_pipeline.search as search
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats import ranking
from aaam_pipeline.index.build import build
from aaam_pipeline.search import query as queries
from aaam_pipeline.search import ranker

CODES_NL = ranking.encode(SCORES_NL).astype(np.int64)
MAX_LABELS = 20
CHANCE = np.random.default_rng(7)
NUMBERS = range(IMAGES)
FOLDERS = ("100% [x]", "Holiday", "a_b", "holiday")
# sorted by path, as annotations are
METADATA: dict[str, list[Any]] = {
    "path": [f"{number // 4:03d}/{FOLDERS[number % 4]}/é.jpg" for number in NUMBERS],
    "root": ["/photos" if number < 200 else "/more 'photos'" for number in NUMBERS],
    "width": [None if number % 9 == 0 else int(CHANCE.choice([640, 1000, 1001, 4000])) for number in NUMBERS],
    "height": [int(CHANCE.choice([480, 999, 1000])) for _ in NUMBERS],
    "bytes": [int(CHANCE.choice([1000, 1024, 1999999, 2000000, 2**40])) for _ in NUMBERS],
    "mtime": [
        None if number % 11 == 0 else datetime(2023 + number % 3, 1 + number % 12, 1 + number % 2, tzinfo=UTC)
        for number in NUMBERS
    ],
    "captured_at": [
        None if number % 5 == 0 else datetime(2022 + number % 4, 1 + number % 7, 1 + number % 3, 12, 30)
        for number in NUMBERS
    ],
}
# what a photograph's date is: by the camera's clock, else the file's in UTC
METADATA["date"] = [
    taken if taken is not None else mtime and mtime.replace(tzinfo=None)
    for taken, mtime in zip(METADATA["captured_at"], METADATA["mtime"], strict=True)
]
Tree = tuple[Any, ...]
Check = Callable[[Any], bool]
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": lambda a, b: a >= b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    "<": lambda a, b: a < b,
    "=": lambda a, b: a == b,
}
# text -> what holds of the column
MATCHES: dict[str, tuple[str, Check]] = {
    'path:"*/holiday/*"': ("path", lambda path: fnmatchcase(path, "*/holiday/*")),
    "path:*oliday*": ("path", lambda path: fnmatchcase(path, "*oliday*")),
    "PATH:*/a_b/?.jpg": ("path", lambda path: fnmatchcase(path, "*/a_b/?.jpg")),
    'path:"*100%*"': ("path", lambda path: "100%" in path),
    'path:"*[x]*"': ("path", lambda path: "[x]" in path),
    "path:012/Holiday": ("path", lambda path: False),
    "root:/photos": ("root", lambda root: root == "/photos"),
    "root:\"/more 'photos'\"": ("root", lambda root: root == "/more 'photos'"),
    "after:2024": ("date", lambda time: time >= datetime(2024, 1, 1)),
    "after:2024-05": ("date", lambda time: time >= datetime(2024, 5, 1)),
    "before:2024-05-02": ("date", lambda time: time < datetime(2024, 5, 2)),
    "before:2023": ("date", lambda time: time < datetime(2023, 1, 1)),
}
SIZES = {"0": 0, "1000": 1000, "1000.5": 1000.5, "1k": 1000, "1KiB": 1024, "2MB": 2e6, "1.5TiB": 1.5 * 2**40}

label = st.tuples(st.just("label"), st.integers(0, len(LABELS) - 1))
operator = st.sampled_from(list(OPERATORS))
probability = st.sampled_from(["0", "0.2", "0.5", "0.501", "0.8", ".9", "1", "1.0"])
filters = st.one_of(
    st.tuples(st.just("score"), st.integers(0, len(LABELS) - 1), operator, probability),
    st.tuples(
        st.just("number"), st.sampled_from(["width", "height"]), operator, st.sampled_from(["640", "999.5", "1000"])
    ),
    st.tuples(st.just("number"), st.just("bytes"), operator, st.sampled_from(list(SIZES))),
    st.tuples(st.just("match"), st.sampled_from(list(MATCHES))),
)
trees = st.recursive(
    st.one_of(label, label, filters),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=4).map(tuple)),
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def metadata_index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[search.Index]:
    """The toy images with facts of all kinds, some of them unknown."""
    folder = tmp_path_factory.mktemp("facts")
    build(
        write_annotations(folder / "annotations", SCORES_NL, EMBEDDING_ND, **METADATA), folder / "index", NullReporter()
    )
    with search.open(folder / "index") as index:
        yield index


def written(tree: Tree, inside: str = "") -> str:
    """Write a tree with only the parentheses that precedence asks for."""
    match tree:
        case "label", id:
            return f'"{LABELS[id]}"' if id % 2 else LABELS[id].upper()
        case "score", id, compare, value:
            return f"{LABELS[id]} {compare} {value}"
        case "number", field, compare, value:
            return f"{field}{compare}{value}"
        case "match", text:
            return str(text)
        case "not", item:
            return "-" + written(item, "not")
        case "or", items:
            text = " |".join(written(item, "or") for item in items)
            return f"({text})" if inside in ("not", "or") else text
        case _, items:
            text = " ".join(written(item, "and") for item in items)
            return f"( {text})" if inside else text


def simple(tree: Tree) -> Tree:
    """Return a tree in which what stands twice in an `and` or `or` stands there once, also across parentheses."""
    if tree[0] == "not":
        item = simple(tree[1])
        return item[1] if item[0] == "not" else ("not", item)
    if tree[0] in ("and", "or"):
        parts = [part for item in map(simple, tree[1]) for part in (item[1] if item[0] == tree[0] else (item,))]
        distinct = {meaning(part): part for part in reversed(parts)}
        return (tree[0], tuple(reversed(distinct.values()))) if len(distinct) > 1 else parts[0]
    return tree


def meaning(tree: Tree) -> Tree:
    """Return a tree in which equal numbers are equal however they are written."""
    match tree:
        case "score", id, compare, value:
            return ("score", id, compare, float(value))
        case "number", field, compare, value:
            return ("number", field, compare, SIZES.get(value, value) if field == "bytes" else float(value))
        case (("not" | "and" | "or") as kind, inner):
            return (kind, meaning(inner) if kind == "not" else tuple(map(meaning, inner)))
    return tree


def holds(tree: Tree) -> NDArray[np.bool_]:
    """Return for which images, (N,), a filter holds: none of those whose fact is unknown."""
    if tree[0] == "score":
        _, id, compare, value = tree
        # a number is what it would be stored as
        return np.asarray(OPERATORS[compare](CODES_NL[:, id], int(ranking.encode(np.array(float(value))))))
    if tree[0] == "number":
        _, field, compare, value = tree
        wanted = SIZES[value] if field == "bytes" else float(value)
        return np.array([fact is not None and OPERATORS[compare](fact, wanted) for fact in METADATA[field]])
    field, check = MATCHES[tree[1]]
    return np.array([fact is not None and check(fact) for fact in METADATA[field]])


def score(tree: Tree) -> tuple[NDArray[np.float64], float]:
    """Return the scores (N,) by the definition, and the least one of a hit."""
    match tree:
        case "label", id:
            return 1 / (1 + np.exp((32767 - CODES_NL[:, id]) * 2 * 16.64 / 65534)), ranking.LEAST
        case "not", item:
            return 1 - score(item)[0], ranking.LEAST if label_count(item) else 1.0
        case (("and" | "or") as kind, items):
            values, least = zip(*map(score, items), strict=True)
            if kind == "and":
                return np.prod(values, axis=0), float(np.prod(least))
            return 1 - np.prod([1 - value for value in values], axis=0), min(least)
    return holds(tree).astype(np.float64), 1.0


def assert_ranked(hits: list[search.Hit], tree: Tree, text: str) -> None:
    """All hits, best first by the definition, ties by path; in the last digits the order of a product counts."""
    value_N, least = score(tree)
    near = {"rtol": 1e-9, "atol": 1e-14}
    row = {path: image for image, path in enumerate(METADATA["path"])}
    found = np.array([row[hit.path] for hit in hits], np.int64)
    np.testing.assert_allclose([hit.score for hit in hits], value_N[found], err_msg=text, **near)
    keys = [(-hit.score, hit.path) for hit in hits]
    assert keys == sorted(keys), text
    missing = np.setdiff1d(NUMBERS, found)
    slack = 1 + 1e-9
    assert (value_N[found] * slack >= least).all(), text
    assert (value_N[missing] < least * slack).all(), text


def label_count(tree: Tree) -> int:
    if tree[0] == "label":
        return 1
    inner = tree[1] if tree[0] in ("and", "or") else (tree[1],) if tree[0] == "not" else ()
    return sum(map(label_count, inner))


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(tree=trees, top=st.integers(1, 40))
def test_a_random_query_ranks_as_its_definition_says(tree: Tree, top: int, metadata_index: search.Index) -> None:
    wanted = simple(tree)
    assume(label_count(wanted) <= MAX_LABELS)
    text = written(tree)
    asked = metadata_index.parse(text)
    hits = metadata_index.query(text, IMAGES)
    assert_ranked(hits, wanted, text)
    assert metadata_index.query(asked, top) == hits[:top]
    # what the tree is written as means the same
    assert metadata_index.parse(queries.text(asked.node, metadata_index.vocabulary)).node == asked.node
    # the terms' product is the score
    for hit, terms in metadata_index.explain(asked, 3):
        assert np.prod([term.score for term in terms]) == pytest.approx(hit.score, abs=1e-12)
        assert {label for term in terms for label in term.label_scores} == set(hit.label_scores)


def test_the_images_have_dates_of_both_kinds_of_one_and_none() -> None:
    """Else the test above would not show which of them counts."""
    known = [
        (taken is not None, mtime is not None)
        for taken, mtime in zip(METADATA["captured_at"], METADATA["mtime"], strict=True)
    ]
    assert len(set(known)) == 4


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(tree=trees, top=st.integers(1, 40), block=st.integers(1, 100))
def test_images_are_ranked_block_by_block_as_all_at_once(
    tree: Tree, top: int, block: int, metadata_index: search.Index
) -> None:
    asked = metadata_index.parse(written(tree))
    expected = metadata_index.query(asked, top)
    with mock.patch.object(ranker, "BLOCK", block):
        assert metadata_index.query(asked, top) == expected


def test_columns_beyond_what_may_be_kept_are_read_again(metadata_index: search.Index) -> None:
    expected = metadata_index.query("grass sky|person -boat", 50)
    with mock.patch.object(ranker, "MAX_BYTES", 2 * 2 * IMAGES):
        kept = ranker.ScoreColumns(metadata_index.select_columns, IMAGES)
        for _ in range(2):
            for label in range(len(LABELS)):
                np.testing.assert_array_equal(kept.codes(label), CODES_NL[:, label])
        read: list[str] = []
        kept = ranker.ScoreColumns(
            lambda text, values: read.append(text) or metadata_index.select_columns(text, values), IMAGES
        )
        with mock.patch.object(metadata_index, "columns", kept), mock.patch.object(ranker, "BLOCK", 16):
            assert metadata_index.query("grass sky|person -boat", 50) == expected
        # once each, not once a block
        assert len(read) == 1 + 4


def test_the_images_have_many_ties(metadata_index: search.Index) -> None:
    """Else the test above would not show who wins one."""
    scores = [hit.score for hit in metadata_index.query("grass|sky -person", IMAGES)]
    assert len(set(scores)) < len(scores) / 2


@pytest.mark.parametrize(
    "text", ["grass", "grass sky|person", "-boat", "width>0", "grass>0.5|path:*a*", "(-sky) grass"]
)
def test_top_5_is_the_beginning_of_top_15(text: str, metadata_index: search.Index) -> None:
    assert metadata_index.query(text, 5) == metadata_index.query(text, 15)[:5]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("grass sky person boat", "boat person sky grass"),
        ("grass (sky|boat person)", "(person boat|sky) grass"),
        ("-(grass sky boat) person", "person -(boat grass sky)"),
        ("grass|sky|boat>0.2|person", "person|sky|boat>0.2|grass"),
    ],
)
def test_the_order_of_words_changes_no_rank(one: str, other: str, metadata_index: search.Index) -> None:
    found, again = metadata_index.query(one, IMAGES), metadata_index.query(other, IMAGES)
    assert [(hit.path, hit.score) for hit in found] == [(hit.path, hit.score) for hit in again]
