"""Hits as an Arrow table, for pandas and polars."""

from pathlib import Path

import pyarrow as pa

import aaam_pipeline.search as search


def test_hits_become_a_table_with_a_column_for_each_label_of_the_query(toy_index: Path) -> None:
    with search.open(toy_index) as index:
        hits = index.query("grass sky", top=5)
    table = search.to_arrow(hits)
    assert table.column_names == [
        "score",
        "path",
        "root",
        "location",
        "labels",
        "exists",
        "unfamiliar",
        "score:grass",
        "score:sky",
    ]
    assert table["exists"].to_pylist() == [False] * 5
    assert table["score"].to_pylist() == [hit.score for hit in hits]
    assert table["path"].to_pylist() == [hit.path for hit in hits]
    assert table["score:sky"].to_pylist() == [hit.label_scores["sky"] for hit in hits]
    assert table.schema.field("labels").type == pa.list_(pa.string())


def test_no_hits_are_an_empty_table() -> None:
    assert search.to_arrow([]).num_rows == 0
