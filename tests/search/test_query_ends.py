"""How likely an image must be to be a hit at all."""

from decimal import Decimal

import numpy as np
import pytest
from search.toy_index import IMAGES, LABELS, SCORES_NL

from aaam_pipeline.formats import ranking
from aaam_pipeline.search import query as queries
from aaam_pipeline.search import ranker


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (queries.Label(0), [0, 1]),
        # a thousandth of each label in the geometric mean: one makes up for another
        (queries.And((queries.Label(0), queries.Label(1))), [0, 2]),
        (queries.Or((queries.Label(0), queries.Label(1))), [0, 1, 2]),
        (queries.Not(queries.Label(0)), [0, 1, 2, 3]),
        (queries.And((queries.Label(0), queries.MetadataFilter("width", ">", Decimal(1)))), [0, 1]),
    ],
)
def test_where_an_answer_ends(node: queries.Node, found: list[int]) -> None:
    codes_NL = ranking.encode(np.array([[0.9, 0.0005], [0.9, 1e-7], [0.0005, 0.9], [0.0005, 1e-4], [1, 0]]))
    leaves = ranker.LeafValues(lambda id: codes_NL[:4, id], lambda node: np.ones(4, np.bool_))
    ids, _ = ranker.best(node, leaves, np.arange(4, dtype=np.int32), 9)
    assert sorted(ids.tolist()) == found


def test_many_labels_stay_in_the_range_of_a_double() -> None:
    assert ranking.least_of(ranking.MAX_DEGREE) > 0
    wide = queries.And(tuple(queries.Not(queries.And((queries.Label(0), queries.Label(each)))) for each in range(1, 6)))
    codes_NL = ranking.encode(SCORES_NL)
    codes = {id: codes_NL[:, id] for id in range(len(LABELS))}
    leaves = ranker.LeafValues(codes.__getitem__, lambda node: np.ones(IMAGES, np.bool_))
    assert len(ranker.best(wide, leaves, np.arange(IMAGES, dtype=np.int32), IMAGES)[0])
