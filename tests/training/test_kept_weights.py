"""Averaged weights, the last epoch, and the classifier that is fitted first."""

import shutil
from pathlib import Path

import pytest
import torch
from training.toy_blocks import curve, train, weights, weights_bytes

from aaam_pipeline import metrics
from aaam_pipeline.datasets.prepared import read_split
from aaam_pipeline.models import bundle

RATES = {"features": 1e-3, "attention": 1e-3, "classifier": 1e-3}


def test_the_last_epoch_is_kept_where_that_is_set_also_when_it_is_worse(prepared: Path, tmp_path: Path) -> None:
    # rates at which every epoch is another network, and the first is not the worst
    ends = {}
    for keep in ("best", "last"):
        root = tmp_path / keep
        root.mkdir()
        reported = train(root, "bce", prepared, epochs=4, patience=1, lr=RATES, common={"keep": keep})
        rows = [float(row["val_map"]) for row in curve(root)]
        info = bundle.load(root / "models" / "bce", torch.device("cpu")).info
        ends[keep] = (info.metrics["best_epoch"], len(rows) - 1, rows)
        assert info.metrics["val"]["map"] == pytest.approx(rows[info.metrics["best_epoch"]])
    assert ends["last"][:2] == (4, 4), "patience ends no phase that keeps its last epoch"
    assert ends["best"][2] == pytest.approx(ends["last"][2][: len(ends["best"][2])])
    assert "kept" in reported[-2]


def test_averaged_weights_are_what_is_validated_and_kept(prepared: Path, tmp_path: Path) -> None:
    for name, decay in (("plain", 0), ("averaged", 0.99)):
        (tmp_path / name).mkdir()
        train(tmp_path / name, "bce", prepared, common={"ema": decay, "keep": "last"})
    plain, averaged = (curve(tmp_path / name) for name in ("plain", "averaged"))
    assert [row["loss"] for row in plain] == [row["loss"] for row in averaged], "the training itself is the same"
    kept = {name: weights(tmp_path / name)["classifier.weight"] for name in ("plain", "averaged")}
    assert not torch.equal(kept["plain"], kept["averaged"])
    network, info, _ = bundle.load(tmp_path / "averaged" / "models" / "bce", torch.device("cpu"))
    val = read_split(prepared, "val")
    scores = network.predict(info.preprocess.normalise(torch.tensor(val.pixels_NSS3)))[0].numpy()
    assert metrics.evaluate(scores, val.targets_NL, 2)["map"] == pytest.approx(float(averaged[-1]["val_map"]))


@pytest.mark.parametrize("how", [60, "converged"])
def test_a_probe_fits_the_classifier_to_the_features_as_they_came(
    how: int | str, prepared: Path, tmp_path: Path
) -> None:
    for name, epochs in (("none", 0), ("probe", how)):
        (tmp_path / name).mkdir()
        train(tmp_path / name, "bce", prepared, epochs=0, common={"probe_epochs": epochs, "ema": 0.9})
    none, probe = (weights(tmp_path / name) for name in ("none", "probe"))
    changed = {name for name, each in probe.items() if not torch.equal(each, none[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    before, after = (float(curve(tmp_path / name)[0]["val_map"]) for name in ("none", "probe"))
    assert after > before + 0.05


def test_a_later_phase_has_no_probe(trained: Path, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "models", tmp_path / "models")
    train(tmp_path, "joint", prepared, epochs=0, common={"probe_epochs": 3})
    assert weights_bytes(tmp_path, "joint") == weights_bytes(trained, "bce")
