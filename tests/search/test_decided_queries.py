"""Random queries rank as NumPy does where a third of everything is decided."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search.deciding import decide
from search.toy_index import IMAGES, LABELS, SCORES_NL, ids_of

import aaam_pipeline.search as search
from aaam_pipeline.formats import ranking
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


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
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
