"""Whole runs beside bad images and decoders that crash: rows, scores and their order are as ever."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from conftest import make_photo
from decoding import EVIL, evil, leaving_nothing_behind
from runs import rows

from aaam_pipeline.annotate import decoder_pool, inputs, runner
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats.columns import to_matrix

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    with leaving_nothing_behind():
        yield


def annotate(items: list[InputItem], model: Path, out: Path, **options: Any) -> pa.Table:
    given = Options(backend="torch", max_failure_rate=1, **options)
    runner.annotate(items, model, out, given, NullReporter())
    return rows(out)


def test_rows_beside_a_crash_and_a_hang_are_those_of_an_undisturbed_run(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        make_photo(tmp_path / "photos" / f"{number:02d}.jpg", number)
    undisturbed = annotate(list(inputs.find([tmp_path / "photos"])), tiny_bundle, tmp_path / "whole", num_workers=2)
    (tmp_path / "photos" / "05b.jpg").write_bytes(b"CRASH")
    (tmp_path / "photos" / "11b.jpg").write_bytes(b"HANG")
    monkeypatch.setattr(decoder_pool.DecoderPool.__init__, "__defaults__", (EVIL,))
    found = annotate(
        list(inputs.find([tmp_path / "photos"])), tiny_bundle, tmp_path / "out", num_workers=2, timeout=3, part_size=7
    )
    failed = pa.compute.equal(found["status"], "failed")
    assert found.filter(failed).select(["path", "error_type", "labels"]).to_pylist() == [
        {"path": "05b.jpg", "error_type": "decoder_crashed", "labels": None},
        {"path": "11b.jpg", "error_type": "timeout", "labels": None},
    ]
    others = found.filter(pa.compute.invert(failed))
    facts = [name for name in found.column_names if name not in ("scores", "embedding", "label_scores")]
    assert others.select(facts).equals(undisturbed.select(facts))
    np.testing.assert_allclose(to_matrix(others["scores"]), to_matrix(undisturbed["scores"]), atol=0.005)


def devices() -> list[Any]:
    absent = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
    return ["cpu", pytest.param("cuda", marks=absent)]


@pytest.mark.parametrize("device", devices())
def test_scores_and_their_order_do_not_depend_on_batch_size_or_workers(
    device: str, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    items = list(inputs.find([photos]))
    expected = annotate(items, tiny_bundle, tmp_path / "expected", device="cpu", batch_size=32, num_workers=2)
    for batch_size in (1, 64):
        for workers in (0, 8):
            out = tmp_path / f"{batch_size}-{workers}"
            found = annotate(items, tiny_bundle, out, device=device, batch_size=batch_size, num_workers=workers)
            scores, wanted = (to_matrix(table["scores"]).astype(np.float32) for table in (found, expected))
            np.testing.assert_allclose(scores, wanted, atol=0.005)
            assert found["labels"].to_pylist() == expected["labels"].to_pylist()
            assert found["path"].to_pylist() == expected["path"].to_pylist()


@pytest.mark.parametrize("device", devices())
def test_a_bad_image_never_changes_a_bit_of_its_batch_mates(
    device: str, photos: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    """The same batch with a good image, and with a bad one in its place."""
    items = list(inputs.find([photos]))
    bad = evil(tmp_path / "bad.jpg", b"no image")
    whole = annotate(items, tiny_bundle, tmp_path / "whole", device=device, batch_size=8, num_workers=2)
    places = [0, 9, 10, 23]
    mixed = [bad if place in places else each for place, each in enumerate(items)]
    found = annotate(mixed, tiny_bundle, tmp_path / "out", device=device, batch_size=8, num_workers=2)
    others = [place for place in range(len(items)) if place not in places]
    assert found.take(others).equals(whole.take(others))
    assert [found["status"][place].as_py() for place in places] == ["failed"] * 4
