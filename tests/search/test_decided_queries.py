"""Random queries rank as NumPy does where a third of everything is decided; taught words and many words, too."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search.deciding import decide, digest
from search.toy_index import DIM, IMAGES, LABELS, SCORES_NL, ids_of

import aaam_pipeline.search as search
from aaam_pipeline import metrics
from aaam_pipeline.formats import decisions, ranking
from aaam_pipeline.formats.decisions import Decision
from aaam_pipeline.formats.taught import TaughtLine, TaughtWord
from aaam_pipeline.index import taught as columns
from aaam_pipeline.search import Index
from aaam_pipeline.search import query as queries

PROBABILITIES_NL = ranking.decode(ranking.encode(SCORES_NL))
LABEL = st.tuples(st.just("label"), st.integers(0, 6))
FILTER = st.tuples(
    st.just("score"), st.integers(0, 6), st.sampled_from([">=", "<", "="]), st.sampled_from(["0.5", "1"])
)
TREES = st.recursive(
    st.one_of(LABEL, LABEL, FILTER),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner), st.tuples(st.sampled_from(["and", "or"]), st.tuples(inner, inner))
    ),
    max_leaves=6,
)
COMPARE = {">=": np.greater_equal, "<": np.less, "=": np.equal}


def written(tree: tuple) -> str:
    match tree:
        case "label", id:
            return f'"{[*LABELS, "grandma"][id]}"'
        case "score", id, compare, value:
            return f'"{[*LABELS, "grandma"][id]}"{compare}{value}'
        case "not", item:
            return f"-({written(item)})"
        case kind, (one, other):
            return f"({written(one)}{' ' if kind == 'and' else '|'}{written(other)})"


def scores(node: queries.Node, label_NL: np.ndarray, filter_NL: np.ndarray) -> np.ndarray:
    match node:
        case queries.Label(id):
            return label_NL[:, id]
        case queries.ScoreFilter(id, compare, value):
            stored = ranking.decode(ranking.encode(np.array(float(value))))
            bounds = np.where(np.isin(filter_NL[:, id], (0, 1)), float(value), stored)
            return COMPARE[compare](filter_NL[:, id], bounds).astype(float)
        case queries.Not(item):
            return 1 - scores(item, label_NL, filter_NL)
        case queries.And(items):
            return np.prod([scores(each, label_NL, filter_NL) for each in items], axis=0)
        case queries.Or(items):
            return 1 - np.prod([1 - scores(each, label_NL, filter_NL) for each in items], axis=0)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(tree=TREES, top=st.integers(1, 60))
def test_random_queries_rank_as_numpy_does(
    tree: tuple, top: int, contents_index: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    index, decided_NL = many_decisions(contents_index, tmp_path_factory)
    model_NL = np.column_stack([PROBABILITIES_NL, np.zeros(IMAGES)])
    true_NL = np.where(decided_NL < 0, model_NL, decided_NL)
    asked = index.parse(written(tree))
    score_N, model_N = scores(asked.node, true_NL, true_NL), scores(asked.node, model_NL, true_NL)
    hits = index.query(asked, IMAGES)
    ids = ids_of(hits)
    np.testing.assert_allclose([hit.score for hit in hits], score_N[ids], rtol=1e-6, atol=1e-12)
    # a hit that is left out is one that is too unlikely
    left_out = np.setdiff1d(np.arange(IMAGES), ids)
    assert not len(left_out) or score_N[left_out].max() < 0.0011
    for one, other in itertools.pairwise(ids):
        close = abs(score_N[one] - score_N[other]) < 1e-9
        assert close or score_N[one] > score_N[other]
        if score_N[one] == score_N[other] in (0.0, 1.0):
            assert model_N[one] > model_N[other] - 1e-9
    assert index.query(asked, top) == hits[:top]


KEPT: dict[Path, tuple[Index, np.ndarray]] = {}


def many_decisions(folder: Path, factory: pytest.TempPathFactory) -> tuple[Index, np.ndarray]:
    """Return an index with a third of everything decided, and what is."""
    if folder not in KEPT:
        chance = np.random.default_rng(5)
        decided_NL = chance.choice([-1, -1, -1, -1, 0, 1], (IMAGES, len(LABELS) + 1))
        decided_NL[7] = decided_NL[8]
        decided_NL[-5:] = -1
        ledger = factory.mktemp("many") / "decisions.jsonl"
        for column, label in enumerate([*LABELS, "grandma"]):
            yes, no = (tuple(np.flatnonzero(decided_NL[:, column] == value).tolist()) for value in (1, 0))
            decide(ledger, label, yes, no)
        KEPT[folder] = search.open(folder, decisions=ledger), decided_NL
    return KEPT[folder]


def test_taught_words_are_decided_like_others(contents_index: Path, tmp_path: Path) -> None:
    shutil.copytree(contents_index, tmp_path / "index")
    word = TaughtWord("my dog", "toy", ["a" * 64] * 12, [], 0.6, 0.8, 0.1, 0.9, IMAGES, "2026-11-29", "lda")
    row_D = 4 * np.random.default_rng(5).normal(size=DIM).astype(np.float32)
    decide(tmp_path / "decisions.jsonl", "My  Dog", yes=(3,))
    with search.open(tmp_path / "index") as index:
        # until it is taught, only what was decided
        assert ids_of(index.query("my dog")) == [3]
    columns.renew(tmp_path / "index", [TaughtLine(word, row_D, -0.5)])
    with search.open(tmp_path / "index") as index:
        before = [id for id in ids_of(index.query("my dog", IMAGES)) if id not in (3, 7, 8) and id < IMAGES - 5]
        count = index.label_counts()["my dog"].images
        decide(tmp_path / "decisions.jsonl", "my dog", yes=(before[-1],), no=(before[0], before[1]))
        hits = index.query("my dog", IMAGES)
        assert {*ids_of(hits[:2])} == {3, before[-1]}
        assert not {before[0], before[1]} & {*ids_of(hits)}
        assert all("my dog" in hit.labels for hit in hits[:2])
        assert index.label_counts()["my dog"] == (count - 2 + 1, 2, 2)


def test_many_words_are_decided(contents_index: Path, tmp_path: Path) -> None:
    """Many words cost time once; each is found, and none is taken for another."""
    words = [f"word {number}" for number in range(2000)]
    lines = [
        Decision(sha256=digest(number % 400), label=word, value="yes", by="person") for number, word in enumerate(words)
    ]
    (tmp_path / "decisions.jsonl").write_bytes(b"".join(map(decisions.encode, lines)))
    with search.open(contents_index, decisions=tmp_path / "decisions.jsonl") as index:
        for number in (0, 399, 400, 1999):
            assert ids_of(index.query(f"word {number}"))[-1] == number % 400
        # a new decision of an old word changes no vocabulary
        vocabulary = index.vocabulary
        decide(tmp_path / "decisions.jsonl", "WORD 5", yes=(6,))
        assert 6 in ids_of(index.query("word 5"))
        assert index.vocabulary is vocabulary


def test_decisions_are_targets_of_retrieval_metrics(contents_index: Path, tmp_path: Path) -> None:
    boat_N = SCORES_NL[: IMAGES - 5, 4]
    order = [id for id in np.argsort(-boat_N, kind="stable").tolist() if id not in (7, 8)]
    for wrong, expected in ((0, 1.0), (1, 0.5 * (1 / 2 + 2 / 3))):
        # the best undecided ones count for nothing
        yes, no = order[10 + wrong : 12 + wrong], [*order[10 : 10 + wrong], *order[300:320]]
        ledger = tmp_path / f"{wrong}.jsonl"
        decide(ledger, "boat", tuple(yes), tuple(no))
        targets_NL = decisions.read(ledger).matrix([digest(id) for id in range(IMAGES - 5)], LABELS)
        mean, queries_judged = metrics.retrieval_map(SCORES_NL[: IMAGES - 5], targets_NL, 1)
        assert (mean, queries_judged) == (pytest.approx(expected), 1)
