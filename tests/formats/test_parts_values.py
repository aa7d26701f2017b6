"""Scores and embeddings as rows hold them: plain float32, rounded so that files stay small and order is kept."""

import numpy as np
import pyarrow as pa

from aaam_pipeline.formats.calibration import logit
from aaam_pipeline.formats.older_parts import schema_of, to_current
from aaam_pipeline.formats.parts import annotations_schema, round_embedding, round_scores

EVERY = np.sort(np.concatenate([1 / (1 + np.exp(-np.linspace(-30, 18, 200_001))), [0, 0.5, 1]])).astype(np.float32)


def test_scores_keep_a_thousandth_of_their_log_odds_near_0_and_near_1() -> None:
    rounded = round_scores(EVERY)
    assert rounded.dtype == np.float32
    fine = (EVERY > 0) & (EVERY < 1 - 2**-13)
    assert np.abs(logit(rounded) - logit(EVERY))[fine].max() < 0.0007
    # beside 1 a float32 has no finer steps
    assert (rounded == EVERY)[EVERY > 1 - 2**-14].all()
    assert (rounded[[0, -1]] == EVERY[[0, -1]]).all()


def test_the_order_of_scores_is_kept_and_rounding_twice_is_rounding_once() -> None:
    rounded = round_scores(EVERY)
    assert (np.diff(rounded) >= 0).all()
    assert (round_scores(rounded) == rounded).all()
    # float16 has 2,000 values above 1/2 in all, none between 0.9995 and 1
    assert len(np.unique(rounded[EVERY > 0.9995])) > 3000


def test_of_rounded_numbers_half_the_bits_are_zeros() -> None:
    likely = EVERY > 0.5
    for values in (round_scores(EVERY)[~likely], 1 - round_scores(EVERY)[likely], round_embedding(EVERY)):
        assert not (values.view(np.uint32) & 0x1FFF).any()


def test_embeddings_are_those_of_float16_and_too_large_ones_at_its_limit() -> None:
    embedding = np.array([[1e6, -1e6, 1.0001, 0]], np.float32)
    assert (round_embedding(embedding) == embedding.clip(-65504, 65504).astype(np.float16)).all()


def test_rows_of_version_2_that_are_a_slice_or_null_are_read() -> None:
    schema = schema_of(2, 2, 3)
    rows = {
        "path": ["a", "b", "c"], "scores": [[0.5, 1], None, [0.25, 0]], "embedding": [[1, 2, 3], None, [4, 5, 6]],
    }  # fmt: skip
    halves = {
        name: pa.array([None if row is None else np.array(row, np.float16) for row in values], schema.field(name).type)
        for name, values in rows.items()
        if name != "path"
    }
    columns = [halves.get(field.name, pa.array(rows.get(field.name, [None] * 3), field.type)) for field in schema]
    table = pa.table(columns, schema=schema)
    for kept in (table, table.slice(1), pa.concat_tables([table.slice(2), table.slice(0, 2)]), table.slice(0, 0)):
        now = to_current(kept)
        assert now.schema.equals(annotations_schema(2, 3), check_metadata=True)
        assert now["embedding"].to_pylist() == kept["embedding"].to_pylist()
        assert now["scores"].to_pylist() == kept["scores"].to_pylist()
    assert [each["path"] for batch in table.to_batches() for each in to_current(batch.slice(1)).to_pylist()] == [
        "b",
        "c",
    ]
