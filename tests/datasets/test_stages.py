"""The stages of the paper's data sets as `dvc repro` runs them, on stand-ins; and on real photographs of COCO."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from datasets.standins import COUNTS, MAKERS

from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.core.project import Project
from aaam_pipeline.datasets.prepared import read_manifest, read_split
from aaam_pipeline.models.bundle import read_info
from aaam_pipeline.training.phases import read_settings
from aaam_pipeline.training.run import phase_paths, run_phase

PROJECT = Path(__file__).parents[2]
SIZE = 32


def write_params(folder: Path, name: str, **data: Any) -> Path:
    """Write the project's own block of a data set, with a copy's root, small pictures and a small network."""
    block: Any = copy.deepcopy(ParamsFile.read(PROJECT / "params.yaml").block(name))
    block["data"] |= {"val": 2, "allow_partial": True} | data
    block["preprocess"]["size"] = SIZE
    block["model"] |= {"backbone": "vgg_small", "weights": "none", "batch_norm": "train"}
    block["train"]["batch_size"] = 4
    block["phases"]["bce"]["epochs"] = 1
    (folder / "params.yaml").write_text(yaml.safe_dump({"datasets": [name], name: block}))
    return folder / "params.yaml"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a stage's script in a folder."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AAAM_")}
    return subprocess.run(
        [sys.executable, "-m", f"stages.{words[0]}", *words[1:]],
        cwd=folder,
        env=plain | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=200,
    )


def stage(folder: Path, *words: str) -> list[str]:
    """Run a stage's script in a folder; return the lines it said."""
    done = run(folder, *words)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


@pytest.mark.parametrize("name", MAKERS)
def test_a_data_set_goes_from_its_official_files_to_a_trained_model(name: str, tmp_path: Path) -> None:
    root = MAKERS[name](tmp_path / "copy")
    broken = sorted(root.rglob("*.jpg"))[0]
    broken.write_bytes(broken.read_bytes()[:300])
    params = write_params(tmp_path, name, root=str(root))
    assert stage(tmp_path, "download", name, f"data/raw/{name}")[0].startswith(f"{name}: ")
    said = stage(tmp_path, "prepare", name, f"data/raw/{name}", f"data/prepared/{name}")
    assert "what is there is used" in said[0]
    assert "left out 1 image that cannot be decoded" in said[-1]
    prepared = tmp_path / "data" / "prepared" / name
    splits = read_manifest(prepared).splits
    assert splits["train"].images + splits["val"].images + splits["train"].bad + splits["val"].bad == COUNTS[name].train
    assert splits["test"].images + splits["test"].bad == COUNTS[name].test
    chosen = read_settings(ParamsFile.read(params), name, "bce")
    run_phase(name, "bce", chosen, phase_paths(Project(tmp_path), name, "bce"), "cpu", NullReporter())
    assert len(read_info(tmp_path / "models" / name / "bce").vocabulary) == COUNTS[name].labels


def test_what_is_wrong_ends_a_stage_with_one_line(tmp_path: Path) -> None:
    root = MAKERS["coco2014"](tmp_path / "copy")
    write_params(tmp_path, "coco2014", root=str(root), allow_partial=False)
    stage(tmp_path, "download", "coco2014", "raw")
    done = run(tmp_path, "prepare", "coco2014", "raw", "prepared")
    assert done.returncode == 1
    assert done.stderr.startswith("error: coco2014: 12 training images instead of 82,081")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "prepared").exists()


def small_coco(shared: Path, root: Path) -> Path:
    """Link real photographs of COCO into the layout of 2014: the first 96 to train, the other 32 to test."""
    real = shared / "data" / "coco128"
    content = json.loads((real / "annotations" / "instances_train2017.json").read_text())
    (root / "annotations").mkdir(parents=True)
    for part, images in (("train2014", content["images"][:96]), ("val2014", content["images"][96:])):
        (root / part).mkdir()
        ids = {image["id"] for image in images}
        renamed = [image | {"file_name": f"COCO_{part}_{image['file_name']}"} for image in images]
        for old, new in zip(images, renamed, strict=True):
            (root / part / new["file_name"]).symlink_to(real / "train2017" / old["file_name"])
        annotations = [each for each in content["annotations"] if each["image_id"] in ids]
        (root / "annotations" / f"instances_{part}.json").write_text(
            json.dumps(content | {"images": renamed, "annotations": annotations})
        )
    return root


def test_real_photographs_of_coco_are_prepared(shared: Path, tmp_path: Path) -> None:
    root = small_coco(shared, tmp_path / "coco")
    content = json.loads((root / "annotations" / "instances_val2014.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    write_params(tmp_path, "coco2014", root=str(root), val=16)
    stage(tmp_path, "download", "coco2014", "raw")
    stage(tmp_path, "prepare", "coco2014", "raw", "prepared")
    manifest = read_manifest(tmp_path / "prepared")
    training = json.loads((root / "annotations" / "instances_train2014.json").read_text())
    labelled = {each["image_id"] for each in training["annotations"]}
    assert manifest.labels == 80
    assert {name: (info.images, info.bad) for name, info in manifest.splits.items()} == {
        "train": (len(labelled) - 16, 0),
        "val": (16, 0),
        "test": (32, 0),
    }
    test = read_split(tmp_path / "prepared", "test")
    assert test.pixels_NSS3.shape == (32, SIZE, SIZE, 3)
    assert len(np.unique(test.pixels_NSS3.reshape(32, -1).mean(1))) > 30
    labels = json.loads((tmp_path / "prepared" / "vocabulary.json").read_text())["labels"]
    for row, image in enumerate(content["images"]):
        own = {names[each["category_id"]] for each in content["annotations"] if each["image_id"] == image["id"]}
        assert {labels[place] for place in np.flatnonzero(test.targets_NL[row])} == own
