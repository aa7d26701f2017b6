"""Rows say whether their picture is unlike all that the model was trained with, where its bundle can tell."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import Invoke, make_bundle, make_photo
from PIL import Image
from runs import PARTS, annotate, by_name, check

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats.familiarity import FAMILIARITY, fit
from aaam_pipeline.formats.parts import read_annotations_manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coloured blocks as the model learnt them, flat pictures, and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures") / "pictures"
    for number in range(40):
        make_photo(folder / f"blocks{number:02d}.png", number)
    for number in range(6):
        Image.new("RGB", (48, 40), (40 * number, 250, 10)).save(folder / f"flat{number}.png")
    (folder / "broken.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def knowing(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that knows the blocks."""
    place = tmp_path_factory.mktemp("knowing")
    annotate(folder, make_bundle(place / "plain"), place / "annotations")
    blocks = [
        row["embedding"] for row in by_name(place / "annotations").to_pylist() if row["path"].startswith("blocks")
    ]
    embedding_ND = np.array(blocks, np.float32)
    return make_bundle(place / "models" / "toy", familiarity=fit(embedding_ND, embedding_ND))


def test_rows_say_it_and_counts_are_right(knowing: Path, folder: Path, tmp_path: Path) -> None:
    manifest, _ = annotate(folder, knowing, tmp_path / "out")
    rows = {row["path"]: row["unfamiliar"] for row in by_name(tmp_path / "out").to_pylist()}
    assert rows.pop("broken.png") is None
    assert all(rows[name] for name in rows if name.startswith("flat"))
    assert sum(rows[name] for name in rows if name.startswith("blocks")) <= 1
    assert (manifest.judged, manifest.unfamiliar) == (46, sum(rows.values()))
    assert check(tmp_path / "out") == manifest


def test_without_the_file_nothing_is_said(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    manifest, _ = annotate(folder, tiny_bundle, tmp_path / "out")
    assert by_name(tmp_path / "out")["unfamiliar"].null_count == 47
    assert (manifest.judged, manifest.unfamiliar) == (0, 0)


def test_rows_that_stay_keep_theirs(knowing: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "pictures")
    first, _ = annotate(tmp_path / "pictures", knowing, tmp_path / "out")
    Image.new("RGB", (48, 40), "white").save(tmp_path / "pictures" / "new.png")
    (tmp_path / "pictures" / "flat0.png").unlink()
    second, _ = annotate(tmp_path / "pictures", knowing, tmp_path / "out", PARTS._replace(forget=True))
    assert (second.judged, second.unfamiliar) == (46, first.unfamiliar)
    assert check(tmp_path / "out") == second


def test_the_command_says_when_there_are_many(knowing: Path, folder: Path, invoke: Invoke) -> None:
    result = invoke("annotate", folder, "--model", knowing, "--out", "out", "--max-failure-rate", 1)
    assert result.exit_code == 0, result.stderr
    unfamiliar = read_annotations_manifest(Path("out")).unfamiliar
    assert f"{unfamiliar} of 46 images are unlike all that the model was trained with" in result.stderr
    few = invoke("annotate", folder, "--model", knowing, "--out", "few", "--exclude", "flat*", "--max-failure-rate", 1)
    assert "unlike" not in few.stderr
    assert invoke("index", "out").exit_code == 0, result.stderr
    said = json.loads(invoke("doctor", "--model", knowing, "--json").stdout)
    assert f"{unfamiliar} of 46 images unlike" in said["index"]


def test_a_damaged_file_is_refused_before_anything_is_written(knowing: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(knowing, tmp_path / "model")
    (tmp_path / "model" / FAMILIARITY).write_bytes(b"damaged")
    with pytest.raises(IntegrityError, match=f"{FAMILIARITY} is missing or damaged"):
        annotate(folder, tmp_path / "model", tmp_path / "out")
    assert not (tmp_path / "out").exists()
