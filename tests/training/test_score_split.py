"""Scores of any split by a bundle, and what is measured with them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from aaam_pipeline import metrics
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats.scores import read_scores
from aaam_pipeline.models import bundle
from aaam_pipeline.training.predict import score_split


def test_a_bundle_scores_any_split_as_training_scored_the_test_split(trained: Path, prepared: Path) -> None:
    model, written = trained / "models" / "bce", read_scores(trained / "scores" / "bce.parquet")
    scored = score_split(model, prepared, "test", "cpu")
    assert (scored.image_ids, scored.labels, scored.k) == (written.image_ids, written.labels, written.k)
    assert scored.calibration == written.calibration
    assert (scored.targets_NL == written.targets_NL).all()
    np.testing.assert_allclose(scored.scores_NL, written.scores_NL, atol=1e-5)
    assert written.embedding_ND is not None
    assert scored.embedding_ND is not None
    np.testing.assert_allclose(scored.embedding_ND, written.embedding_ND, rtol=1e-2, atol=1e-3)
    val = score_split(model, prepared, "val", "cpu")
    assert metrics.evaluate(val.scores_NL, val.targets_NL, val.k) == pytest.approx(
        bundle.read_info(model).metrics["val"]
    )


def test_a_split_with_other_labels_or_of_another_size_is_not_scored(
    trained: Path, prepared: Path, tmp_path: Path
) -> None:
    loaded, model = bundle.load(trained / "models" / "bce", torch.device("cpu")), tmp_path / "model"
    bundle.save(loaded.network, msgspec.structs.replace(loaded.info, vocabulary=loaded.info.vocabulary[::-1]), model)
    larger = shutil.copytree(prepared, tmp_path / "larger")
    np.save(larger / "test" / "pixels.npy", np.zeros((12, 64, 64, 3), np.uint8))
    for folder, data in ((model, prepared), (trained / "models" / "bce", larger)):
        with pytest.raises(IntegrityError, match="other labels or another picture size"):
            score_split(folder, data, "test", "cpu")


def test_neighbour_evidence_is_measured_with_validation_scores_of_a_bundle(
    trained: Path, prepared: Path, tmp_path: Path
) -> None:
    val, scores = str(tmp_path / "val" / "bce.parquet"), str(trained / "scores" / "bce.parquet")
    for words in (
        ["score", str(trained / "models" / "bce"), str(prepared), "val", val, "--device", "cpu"],
        ["evaluate", scores, "--neighbours", val, "--out", str(tmp_path / "out")],
    ):
        done = subprocess.run(
            [sys.executable, "-m", f"stages.{words[0]}", *words[1:]],
            capture_output=True, text=True, timeout=200, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "out" / "metrics.json").read_text())["bce"]
    assert measured["neighbours"] in (5, 10, 20)
    assert {"retrieval_map_1_neighbours", "neighbours_weight", "neighbours_validation_gain"} <= measured.keys()
