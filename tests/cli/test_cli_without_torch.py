"""The plain installation, which has no torch and no other extra: what works in it, and what the rest says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LABELS, make_photo

from aaam_pipeline.core.extras import EXTRAS, how_to_install

MISSING = [package for packages in EXTRAS.values() for package in packages]
# as where they are not installed
PROGRAM = (
    f"import sys; sys.modules.update(dict.fromkeys({MISSING!r})); sys.argv[0] = 'aaam-pipe'; "
    "from aaam_pipeline.__main__ import main; main()"
)


@pytest.fixture
def place(indexed: Path, annotated: Path, tiny_bundle: Path, tmp_path: Path) -> Path:
    """A folder with annotations, their index, and the model."""
    shutil.copytree(annotated, tmp_path / "annotations")
    shutil.copytree(indexed, tmp_path / "index")
    shutil.copytree(tiny_bundle, tmp_path / "models" / "toy" / "bce")
    return tmp_path


def run(place: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"], ["annotate", "--help"], ["doctor"], ["config"], ["verify", "annotations"], ["verify", "index"],
        ["labels"], ["search", LABELS[0], "--top", "3"], ["search", LABELS[0], "--html", "page.html"], ["dedup"],
        ["index", "annotations", "--out", "other"],
    ],
)  # fmt: skip
def test_commands_that_run_no_network_need_no_torch(words: list[str], place: Path) -> None:
    done = run(place, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout or words[0] in ("index", "dedup", "verify") or "--html" in words


def test_similar_to_a_photograph_of_the_index_needs_no_torch(place: Path, photos: Path) -> None:
    done = run(place, "similar", photos / "001.jpg", "--top", "3", "--json")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_a_runtime_form_annotates_and_embeds_without_torch(place: Path, formed_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(formed_bundle, place / "models" / "toy" / "formed")
    # the newest, whichever of the two was made first
    (place / "models" / "toy" / "formed" / "bundle.json").touch()
    make_photo(tmp_path / "new" / "photo.jpg", seed=99)
    done = run(place, "annotate", "new", "--out", "others")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 image annotated" in done.stderr
    for model in ([], ["--model", "models/toy/formed"]):
        done = run(place, "similar", "new/photo.jpg", "--top", "2", *model)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 2


def test_doctor_says_what_is_there(place: Path, formed_bundle: Path) -> None:
    facts = json.loads(run(place, "doctor", "--json").stdout)
    assert facts["device"] == "cpu (torch, which uses GPUs, is not installed)"
    assert facts["extras"] == f"none (others: {how_to_install('train,research,heic,s3,gcs,ray')})"
    assert "built for" in facts["faiss"]
    # that of a bundle that annotating refuses
    assert facts["model"] == f"unusable: torch is not installed: {how_to_install('train')}"
    assert "(toy-bce-" in json.loads(run(place, "doctor", "--json", "--model", formed_bundle).stdout)["model"]


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["annotate", "PHOTOS", "--out", "out", "--device", "cuda"], "torch", "train"),
        (["annotate", "PHOTOS", "--out", "out", "--backend", "torch"], "torch", "train"),
        (["doctor", "--device", "cuda:0"], "torch", "train"),
        (["model", "export", "--out", "out"], "torch", "train"),
        (["figures", "bars", "--dataset", "toy"], "torch|matplotlib", "train|research"),
    ],
)
def test_what_is_missing_is_one_line_with_its_extra(
    words: list[str], package: str, extra: str, place: Path, photos: Path
) -> None:
    done = run(place, *[photos if word == "PHOTOS" else word for word in words])
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 2
    assert lines in [
        [f"error: {each} is not installed: {how_to_install(one)}"]
        for each in package.split("|")
        for one in extra.split("|")
    ]
    assert "Traceback" not in done.stderr
    assert not (place / "out").exists()
