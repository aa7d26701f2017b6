"""The stage `features`: what it writes, that it resumes where it was, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml
from conftest import make_bundle, rewrite_json
from safetensors.torch import save_file
from training.toy_blocks import COUNTS, SIZE, make_prepared, write_params

from aaam_pipeline.baselines import features
from aaam_pipeline.baselines.feature_files import read_manifest, read_splits
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.prepared import read_split
from aaam_pipeline.models import bundle


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `prepared`, the bundle `model` and `params.yaml`."""
    root = tmp_path_factory.mktemp("project")
    make_prepared(root / "prepared")
    make_bundle(root / "model")
    write_params(root)
    return root


def compute(project: Path, out: Path, model: str | None = None, params: Path | None = None) -> None:
    chosen = str(project / "model") if model is None else model
    settings = ParamsFile.read(params or project / "params.yaml")
    features.compute("toy", settings, project / "prepared", chosen, out, "cpu", NullReporter())


@pytest.fixture(scope="module")
def made(project: Path) -> Path:
    """Features of the bundle. Read only."""
    compute(project, project / "features")
    return project / "features"


def test_they_are_the_embeddings_that_the_bundle_gives(project: Path, made: Path) -> None:
    loaded = bundle.load(project / "model", torch.device("cpu"))
    for name, split in read_splits(made, project / "prepared").items():
        known = read_split(project / "prepared", name)
        images = loaded.info.preprocess.normalise(torch.from_numpy(np.array(known.pixels_NSS3)))
        assert isinstance(split.features_ND, np.memmap)
        assert split.features_ND.dtype == np.float32
        np.testing.assert_allclose(split.features_ND, loaded.network.predict(images)[1], rtol=1e-4, atol=1e-5)
        assert split.image_ids == known.image_ids
        np.testing.assert_array_equal(split.targets_NL, known.targets_NL)


def test_the_manifest_says_what_they_are_of(project: Path, made: Path) -> None:
    manifest = read_manifest(made)
    info = bundle.read_info(project / "model")
    assert (manifest.model, manifest.dataset, manifest.dimension) == (info.model_id, "toy", 256)
    assert manifest.preprocess["size"] == SIZE
    assert {split: file.images for split, file in manifest.files.items()} == COUNTS
    assert sorted(path.name for path in made.iterdir()) == ["manifest.json", "test.npy", "train.npy", "val.npy"]


def test_a_stopped_run_resumes(project: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "BATCH", 4)
    monkeypatch.setattr(features, "STEP", 2)
    plain, done = features._embed, 0

    def stopped(source: Any, pixels: Any, device: Any) -> Any:
        nonlocal done
        if done == 5:
            raise KeyboardInterrupt
        done += 1
        return plain(source, pixels, device)

    monkeypatch.setattr(features, "_embed", stopped)
    with pytest.raises(KeyboardInterrupt):
        compute(project, tmp_path / "features")
    # of five batches the last one was not journaled yet
    seen = []
    monkeypatch.setattr(features, "_embed", lambda *arguments: seen.append(1) or plain(*arguments))
    compute(project, tmp_path / "features")
    assert len(seen) == sum(COUNTS.values()) / 4 - 4
    for split in COUNTS:
        np.testing.assert_allclose(
            np.load(tmp_path / "features" / f"{split}.npy"), np.load(made / f"{split}.npy"), atol=1e-5
        )


def test_what_was_stopped_with_another_model_starts_again(project: Path, tmp_path: Path) -> None:
    make_bundle(tmp_path / "other", seed=2)
    work = tmp_path / "features.partial"
    work.mkdir()
    (work / "journal").write_text('"another"\n["train",48]\n["val",16]\n["test",12]\n')
    for split in COUNTS:
        (work / f"{split}.npy").write_bytes(b"")
    compute(project, tmp_path / "features", str(tmp_path / "other"))
    assert read_manifest(tmp_path / "features").model == bundle.read_info(tmp_path / "other").model_id


def test_an_imagenet_backbone_gives_its_last_layer_but_one(project: Path, tmp_path: Path) -> None:
    model = torchvision.models.get_model("mobilenet_v2", weights=None).eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    content = yaml.safe_load((project / "params.yaml").read_text())
    content["toy"]["model"] = {"backbone": "mobilenet_v2", "weights": str(tmp_path / "weights.safetensors")}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    compute(project, tmp_path / "features", "imagenet", tmp_path / "params.yaml")
    pixels = torch.from_numpy(np.array(read_split(project / "prepared", "val").pixels_NSS3))
    with torch.inference_mode():
        wanted = model.features(features.Preprocess(size=SIZE).normalise(pixels)).mean((2, 3))
    np.testing.assert_allclose(np.load(tmp_path / "features" / "val.npy"), wanted, rtol=1e-4, atol=1e-5)
    assert read_manifest(tmp_path / "features").model == "mobilenet_v2"


def test_an_untrained_backbone_is_refused_with_what_to_do(project: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--model models/toy/bce"):
        compute(project, tmp_path / "features", "imagenet")


def test_pictures_of_another_size_are_refused(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project / "prepared", tmp_path / "prepared")
    shutil.copyfile(project / "params.yaml", tmp_path / "params.yaml")
    rewrite_json(tmp_path / "prepared" / "manifest.json", size=48)
    with pytest.raises(UsageError, match=r"takes pictures of 32 px.*has 48 px"):
        compute(tmp_path, tmp_path / "features", str(project / "model"))


def test_damage_is_noticed(project: Path, tmp_path: Path) -> None:
    compute(project, tmp_path / "features")
    with pytest.raises(UsageError, match="not a folder of features"):
        read_manifest(tmp_path)
    make_prepared(tmp_path / "prepared", seed=1)
    with pytest.raises(IntegrityError, match="of other pictures"):
        read_splits(tmp_path / "features", tmp_path / "prepared")
    with (tmp_path / "features" / "val.npy").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(IntegrityError, match=r"val.npy is not what .* says"):
        read_splits(tmp_path / "features", project / "prepared")
    rewrite_json(tmp_path / "features" / "manifest.json", version=7)
    with pytest.raises(IntegrityError, match="another version"):
        read_manifest(tmp_path / "features")
