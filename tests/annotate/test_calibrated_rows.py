"""The scores of rows are calibrated, whichever backend computed them, and everything about a row agrees with that."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_bundle, rewrite_json

from aaam_pipeline.annotate import backends, inputs, runner, verify
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.formats.calibration import Calibration, calibrate
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.models.runtime_form import FormMaker, FormRequest

pytestmark = pytest.mark.slow

LINE = Calibration([0.5, 2.0, 1.0, 0.8, 3.0], [1.0, -1.0, 0.0, -2.0, 0.5])
THRESHOLD = 0.6


def annotated(photos: Path, model: Path, out: Path, backend: backends.BackendName) -> pa.Table:
    options = Options(backend=backend, device="cpu", num_workers=0)
    runner.annotate(inputs.find([photos]), model, out, options, NullReporter())
    return pa.concat_tables([pq.read_table(part) for part in sorted(out.glob("part-*.parquet"))])


@pytest.fixture(scope="module")
def raw(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The scores of the same model without a calibration."""
    folder = tmp_path_factory.mktemp("raw")
    rows = annotated(photos, make_bundle(folder / "bundle"), folder / "annotations", "torch")
    return to_matrix(rows["scores"]).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    maker = FormMaker(FormRequest("fp32"))
    folder = make_bundle(tmp_path_factory.mktemp("calibrated") / "bundle", threshold=THRESHOLD, make_form=maker)
    rewrite_json(folder / "bundle.json", calibration={"slopes": LINE.slopes, "biases": LINE.biases})
    return folder


@pytest.mark.parametrize("way", ["torch", "openvino"])
def test_scores_labels_and_limits_are_calibrated(
    way: backends.BackendName, photos: Path, model: Path, raw: np.ndarray, tmp_path: Path
) -> None:
    rows = annotated(photos, model, tmp_path / "annotations", way)
    scores_NL = to_matrix(rows["scores"]).astype(np.float32)
    np.testing.assert_allclose(scores_NL, calibrate(raw, LINE), atol=0.01)
    assert np.abs(scores_NL - raw).max() > 0.1
    for labels, given in zip(rows["labels"].to_pylist(), rows["label_scores"].to_pylist(), strict=True):
        assert len(labels) == len(given)
        assert all(score >= THRESHOLD for score in given)
    assert any(rows["labels"].to_pylist())
    assert verify.verify(tmp_path / "annotations", NullReporter()).calibration == LINE
