"""What a phase of training learns and leaves behind, and what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from training import toy_blocks
from training.toy_blocks import curve, paths, train, weights, weights_bytes, write_params

from aaam_pipeline import metrics
from aaam_pipeline.core.errors import DeviceError, IntegrityError, ParamsError, TrainingError, UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.datasets.prepared import Split, read_split
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.formats.recordings import read_recording
from aaam_pipeline.formats.scores import read_scores
from aaam_pipeline.models import bundle
from aaam_pipeline.models.info import familiarity_of

ZERO = {"features": 0, "attention": 0, "classifier": 0}
RATES = {"features": 1e-3, "attention": 1e-3, "classifier": 1e-3}


def test_a_phase_leaves_a_bundle_scores_and_a_curve(trained: Path, prepared: Path) -> None:
    loaded = bundle.load(trained / "models" / "bce", torch.device("cpu"))
    assert (loaded.info.phase, loaded.info.k, loaded.info.dataset) == ("bce", 2, "toy")
    assert loaded.info.vocabulary == list(toy_blocks.COLOURS)
    split = read_scores(trained / "scores" / "bce.parquet")
    assert split.image_ids == [f"test_{number:02d}" for number in range(12)]
    assert split.labels == loaded.info.vocabulary
    assert split.calibration == loaded.info.calibration
    assert split.embedding_ND is not None
    assert split.embedding_ND.shape == (12, loaded.network.embedding_dim)
    assert [row["epoch"] for row in curve(trained)] == ["0", "1", "2"]
    assert curve(trained)[0]["loss"] == ""
    assert float(curve(trained)[1]["loss"]) > 0


def test_a_bundle_is_calibrated_on_validation_and_its_thresholds_are_on_that_scale(
    trained: Path, prepared: Path
) -> None:
    network, info, _ = bundle.load(trained / "models" / "bce", torch.device("cpu"))
    val = read_split(prepared, "val")
    scores = network.predict(info.preprocess.normalise(torch.tensor(val.pixels_NSS3)))[0].numpy()
    assert info.calibration is not None
    expected = metrics.fit_calibration(scores, val.targets_NL)
    np.testing.assert_allclose(info.calibration.slopes, expected.slopes, rtol=1e-3)
    np.testing.assert_allclose(info.calibration.biases, expected.biases, rtol=1e-3, atol=1e-3)
    calibrated = calibrate(scores, info.calibration)
    np.testing.assert_allclose(info.thresholds, metrics.choose_thresholds(calibrated, val.targets_NL), atol=1e-4)
    assert metrics.evaluate(scores, val.targets_NL, 2) == pytest.approx(info.metrics["val"])


def test_a_bundle_tells_what_is_far_from_its_training_images_as_validation_says(trained: Path, prepared: Path) -> None:
    network, info, folder = bundle.load(trained / "models" / "bce", torch.device("cpu"))
    val, train_split = (read_split(prepared, split).pixels_NSS3 for split in ("val", "train"))
    val_ND, train_ND = (
        network.predict(info.preprocess.normalise(torch.tensor(pixels)))[1].numpy() for pixels in (val, train_split)
    )
    familiarity = familiarity_of(folder, info)
    assert familiarity is not None
    assert familiarity.unfamiliar(val_ND).sum() == 1
    # as many centroids as training images
    assert familiarity.distances(train_ND) == pytest.approx(0, abs=1e-3)


def test_scores_say_by_which_maxima_they_are_scaled(trained: Path, prepared: Path) -> None:
    network, info, _ = bundle.load(trained / "models" / "bce", torch.device("cpu"))
    splits = {name: read_split(prepared, name) for name in ("train", "val")}
    train_NL, val_NL = (
        network.predict(info.preprocess.normalise(torch.tensor(each.pixels_NSS3)))[0].numpy()
        for each in splits.values()
    )
    found = read_scores(trained / "scores" / "bce.parquet").scaling
    expected = metrics.choose_scaling(train_NL, val_NL, splits["val"].targets_NL, 2)
    assert found is not None
    assert found.split == expected.split
    assert found.maxima == pytest.approx(expected.maxima, abs=1e-4)


def test_the_work_folder_is_empty_when_a_phase_is_over(trained: Path) -> None:
    assert list((trained / "work" / "bce").iterdir()) == []


def test_equal_training_gives_equal_files(trained: Path, prepared: Path, tmp_path: Path) -> None:
    train(tmp_path, "bce", prepared)
    names = ("model.safetensors", "familiarity.safetensors", "bundle.json")
    for file in (*(f"models/bce/{name}" for name in names), "scores/bce.parquet", "plots/bce.csv"):
        assert (tmp_path / file).read_bytes() == (trained / file).read_bytes(), file


def test_a_new_network_gives_every_label_its_share_of_the_training_images(prepared: Path, tmp_path: Path) -> None:
    train(tmp_path, "bce", prepared, epochs=1, lr=ZERO | {"classifier": 1e-12})
    targets = read_split(prepared, "train").targets_NL
    having = targets.sum(axis=0)
    expected = np.log((having + 0.5) / (len(targets) - having + 0.5))
    np.testing.assert_allclose(weights(tmp_path)["classifier.bias"], expected, rtol=1e-4, atol=1e-6)


def test_a_phase_with_unknown_labels_learns_and_measures_what_is_known(tmp_path: Path) -> None:
    """Half of the labels are unknown; of `sun` no training image is known to be without it."""
    listing, rng = toy_blocks.listing(tmp_path / "raw"), np.random.default_rng(2)
    splits = {
        split: [
            each._replace(
                labels=tuple(label for label in each.labels if rng.random() < 0.5),
                absent=tuple(label for label in list(toy_blocks.COLOURS)[:4] if label not in each.labels),
            )
            for each in examples
        ]
        for split, examples in listing.splits.items()
    }
    prepare("toy", listing._replace(splits=splits), tmp_path / "prepared", toy_blocks.SIZE, NullReporter())
    for phase in ("bce", "joint", "hard"):
        train(tmp_path, phase, epochs=1)
    split = read_split(tmp_path / "prepared", "train")
    assert -1 in split.targets_NL[:, :4]
    scored, val = read_scores(tmp_path / "scores" / "hard.parquet"), read_split(tmp_path / "prepared", "val")
    np.testing.assert_array_equal(scored.targets_NL, read_split(tmp_path / "prepared", "test").targets_NL)
    info = bundle.load(tmp_path / "models" / "hard", torch.device("cpu")).info
    scores = score_split_of(tmp_path, "hard", val)
    assert info.metrics["val"]["map"] == pytest.approx(metrics.evaluate(scores, val.targets_NL, 2)["map"], abs=1e-4)
    # a new network's biases are the shares of the images that are known
    train(tmp_path, "bce", epochs=1, lr=ZERO | {"classifier": 1e-12})
    having, known = (split.targets_NL > 0).sum(0), (split.targets_NL >= 0).sum(0)
    expected = np.log((having + 0.5) / (known - having + 0.5))
    np.testing.assert_allclose(weights(tmp_path)["classifier.bias"], expected, rtol=1e-4, atol=1e-6)


def score_split_of(root: Path, phase: str, split: Split) -> np.ndarray:
    network, info, _ = bundle.load(root / "models" / phase, torch.device("cpu"))
    return network.predict(info.preprocess.normalise(torch.tensor(split.pixels_NSS3)))[0].numpy()


def test_training_learns(prepared: Path, tmp_path: Path) -> None:
    train(tmp_path, "bce", prepared, epochs=14, patience=15, schedule="one_cycle", lr=dict.fromkeys(RATES, 2e-3))
    rows = curve(tmp_path)
    # knowing only how frequent each label is gives 5 labels * log 2 = 3.4
    assert float(rows[-1]["bce"]) < 2.8
    assert max(float(row["val_map"]) for row in rows) > float(rows[0]["val_map"]) + 0.05


def test_the_later_phases_start_from_the_one_before_and_mine_triplets(
    trained: Path, prepared: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "models", tmp_path / "models")
    for phase, before in (("joint", "bce"), ("hard", "joint")):
        train(tmp_path, phase, prepared)
        first, second, _ = curve(tmp_path, phase)
        best = max(float(row["val_map"]) for row in curve(trained if before == "bce" else tmp_path, before))
        assert float(first["val_map"]) == pytest.approx(best)
        assert float(second["triplets_per_image"]) > 0.5
        assert float(second["loss"]) == pytest.approx(float(second["bce"]) + float(second["triplet_margin"]), rel=1e-5)


def test_the_weight_of_the_margin_loss_is_lambda(trained: Path, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "models", tmp_path / "models")
    train(tmp_path, "joint", prepared, epochs=1, weight=3.0)
    row = curve(tmp_path, "joint")[1]
    assert float(row["triplet_margin"]) > 0
    assert float(row["loss"]) == pytest.approx(float(row["bce"]) + 3 * float(row["triplet_margin"]), rel=1e-5)


def test_no_improvement_for_patience_epochs_ends_a_phase(trained: Path, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "models", tmp_path / "models")
    # a rate so small that the validation ranking does not change
    tiny = dict.fromkeys(RATES, 1e-12)
    changes: dict[str, Any] = {"epochs": 6, "patience": 2, "lr": tiny | {"features": 0}}
    network = bundle.load(tmp_path / "models" / "bce", torch.device("cpu"))
    bundle.save(network.network, network.info, tmp_path / "models" / "bce")
    train(tmp_path, "joint", prepared, **changes)
    rows = curve(tmp_path, "joint")
    best = max(range(len(rows)), key=lambda epoch: (float(rows[epoch]["val_map"]), -epoch))
    assert len(rows) - 1 == best + 2 < 6


@pytest.mark.parametrize("lr", [1e-3, 1.0])
def test_a_phase_never_ends_worse_than_it_began(lr: float, trained: Path, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "models", tmp_path / "models")
    train(tmp_path, "joint", prepared, lr=dict.fromkeys(RATES, lr))
    maps = [float(row["val_map"]) for row in curve(tmp_path, "joint")]
    info = bundle.read_info(tmp_path / "models" / "joint")
    assert info.metrics["val"]["map"] == pytest.approx(max(maps))
    assert info.metrics["val"]["map"] >= maps[0]
    assert info.metrics["best_epoch"] == maps.index(max(maps))
    if lr == 1.0:
        # such a rate ruins the network, so the best epoch is the start and the weights are the ones it came with
        assert min(maps[1:]) < maps[0]


def test_no_epochs_leave_the_weights_as_they_came(trained: Path, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "models", tmp_path / "models")
    train(tmp_path, "joint", prepared, epochs=0)
    assert weights_bytes(tmp_path, "joint") == weights_bytes(tmp_path, "bce")


@pytest.mark.parametrize("frozen", list(RATES))
def test_rate_0_keeps_the_weights_of_a_group_bit_for_bit(
    frozen: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, "bce", prepared, epochs=0)
    before = weights(tmp_path)
    # the best epoch may be the start: ask for the last one, by taking every epoch for better than the one before
    monkeypatch.setattr("aaam_pipeline.metrics.evaluate", rising())
    train(tmp_path, "bce", prepared, epochs=1, lr=RATES | {frozen: 0})
    after, prefixes = weights(tmp_path), ("neck", "classifier") if frozen == "classifier" else (frozen,)
    learned = {name for name in before if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    changed = {name for name in learned if not torch.equal(before[name], after[name])}
    assert not {name for name in changed if name.startswith(prefixes)}
    assert {name.split(".")[0] for name in changed} == {name.split(".")[0] for name in learned} - set(prefixes)


def rising() -> Any:
    calls = iter(range(1, 100))
    return lambda *_: {"map": next(calls) / 100}


def test_the_paths_of_a_few_test_images_are_recorded(trained: Path, prepared: Path) -> None:
    recording = read_recording(trained / "paths" / "bce.parquet")
    test = read_split(prepared, "test")
    rows = [test.image_ids.index(image) for image in recording.image_ids]
    assert 0 < len(rows) <= 8
    assert (test.targets_NL[rows] == recording.targets_ML).all()
    assert (recording.targets_ML.sum(1) >= 2).all(), "images with at least k labels are followed"
    assert recording.steps_S.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert (recording.scores_SML[0] != recording.scores_SML[-1]).any()


def test_the_validation_metrics_are_a_file_of_their_own(trained: Path) -> None:
    found = json.loads((trained / "validation" / "bce.json").read_text())
    assert found == bundle.read_info(trained / "models" / "bce").metrics["val"]


def test_the_warp_loss_is_trained_from_the_start_of_bce(prepared: Path, tmp_path: Path) -> None:
    train(tmp_path, "warp", prepared, epochs=3, margin=1.0)
    losses = [float(row["loss"]) for row in curve(tmp_path, "warp")[1:]]
    assert losses[-1] < losses[0]
    assert bundle.read_info(tmp_path / "models" / "warp").phase == "warp"


def test_all_rates_0_is_refused(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="all learning rates are 0"):
        train(tmp_path, "bce", prepared, lr=ZERO)


@pytest.mark.parametrize("batch_size", [16, 48])
def test_a_loss_that_is_no_number_ends_training_in_one_line(batch_size: int, prepared: Path, tmp_path: Path) -> None:
    # with one batch an epoch it is validation that meets the ruined weights first
    tree = toy_blocks.params(lr=dict.fromkeys(RATES, 1e30), epochs=3)
    tree["toy"]["train"]["batch_size"] = batch_size
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(TrainingError, match=r"not a number.*learning rate") as caught:
        toy_blocks.run(tmp_path / "params.yaml", "bce", paths(tmp_path, "bce", prepared), NullReporter())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models" / "bce").exists()


def test_a_phase_without_the_one_before_is_a_usage_error(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a model bundle"):
        train(tmp_path, "joint", prepared)


def test_a_phase_refuses_a_start_of_another_architecture(trained: Path, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "models", tmp_path / "models")
    tree = toy_blocks.params()
    tree["toy"]["model"]["dropout"] = 0.1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(IntegrityError, match="another model section"):
        toy_blocks.run(tmp_path / "params.yaml", "joint", paths(tmp_path, "joint", prepared), NullReporter())


def test_unfit_settings_and_devices_are_said_before_any_work(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError):
        train(tmp_path, "bce", prepared, epochz=2)
    with pytest.raises(DeviceError):
        toy_blocks.run(write_params(tmp_path), "bce", paths(tmp_path, "bce", prepared), NullReporter(), "cuda:77")
    assert not (tmp_path / "models").exists()
