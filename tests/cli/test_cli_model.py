import json
from pathlib import Path

import numpy as np
import pytest
from conftest import LABELS, Invoke, make_photo

from aaam_pipeline.annotate import backends
from aaam_pipeline.core import extras
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.listing import Example, Listing
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.imaging.resizing import resize_square
from aaam_pipeline.models.export.manifest import read_exported
from aaam_pipeline.models.info import read_info

pytestmark = pytest.mark.slow

pytest.importorskip("nncf")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def prepared(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set of which the model, in fp32, ranks every label without a fault."""
    folder = tmp_path_factory.mktemp("data")
    size = read_info(tiny_bundle).preprocess.size
    backend = backends.create("torch", tiny_bundle, "cpu")
    splits = {}
    for split, count in (("train", 20), ("val", 30), ("test", 30)):
        paths = [make_photo(folder / split / f"{number}.png", seed=100 * count + number) for number in range(count)]
        pixels_NSS3 = np.stack([resize_square(path.read_bytes(), size).pixels_SS3 for path in paths])
        scores_NL = backend.start(pixels_NSS3)().scores_BL
        chosen_NL = scores_NL > np.median(scores_NL, axis=0)
        splits[split] = [
            Example(f"{path.parent.name}-{path.stem}", path, tuple(np.array(LABELS)[chosen_L]))
            for path, chosen_L in zip(paths, chosen_NL, strict=True)
        ]
    listing = Listing(tuple(LABELS), splits)
    prepare("toy", listing, folder / "prepared", size, NullReporter())
    return folder / "prepared"


@pytest.fixture
def model(tiny_bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "toy" / "bce"
    folder.mkdir(parents=True)
    for file in tiny_bundle.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_an_int8_export_is_measured_and_then_used(invoke: Invoke, model: Path, prepared: Path) -> None:
    made = invoke("model", "export", "--precision", "int8", "--data", prepared, "--max-map-loss", 50)
    assert made.exit_code == 0, made.output
    assert "torch fp32" in made.stdout
    assert "mAP lost" in made.stdout
    folder = model.with_name("bce-openvino-int8")
    found = read_exported(folder)
    assert found.measured
    assert found.measured.map_torch == 1
    assert (found.measured.split, found.measured.images) == ("val", 30)
    assert found.info.model_id == f"{read_info(model).model_id}-int8"
    assert set(found.made_with) == {"torch", "openvino", "nncf"}
    assert sorted(file.name for file in folder.iterdir()) == ["export.json", "model.bin", "model.xml"]

    beside, alone = backends.create("auto", model, "cpu"), backends.create("auto", folder, "cpu")
    assert beside.title == alone.title == "OpenVINO int8 on cpu"
    assert beside.info.model_id == alone.info.model_id == backends.model_info("auto", model, "cpu").model_id
    pixels = np.zeros((3, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(beside.start(pixels)().scores_BL, alone.start(pixels)().scores_BL)


def test_an_export_that_loses_too_much_leaves_the_earlier_one(invoke: Invoke, model: Path, prepared: Path) -> None:
    folder = model.with_name("bce-openvino-int8")
    words = ("model", "export", "--precision", "int8", "--data", prepared, "--split", "test", "--max-map-loss")
    assert invoke(*words, 50, "--calibration-images", 4).exit_code == 0
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    refused = invoke(*words, 0, "--calibration-images", 2)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("error: int8 loses ")
    assert "more than --max-map-loss 0" in last
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert sorted(path.name for path in model.parent.iterdir()) == ["bce", "bce-openvino-int8"]


@pytest.mark.parametrize("format", ["openvino", "onnx"])
def test_a_fp32_export_gives_the_models_own_scores(format: str, invoke: Invoke, model: Path, prepared: Path) -> None:
    made = invoke("model", "export", "--format", format, "--data", prepared, "--json", "--out", "exported", "-q")
    assert made.exit_code == 0, made.output
    facts = json.loads(made.stdout)
    assert made.stderr == ""
    assert facts["model_id"] == read_info(model).model_id
    assert facts["max_difference"] < 0.005
    assert abs(facts["map_loss"]) < 0.01
    backend = backends.create("openvino", Path("exported"), "cpu")
    assert backend.start(np.zeros((1, 32, 32, 3), np.uint8))().scores_BL.shape == (1, len(LABELS))


def test_without_labelled_images_fp32_is_exported_unmeasured(invoke: Invoke, model: Path) -> None:
    made = invoke("model", "export")
    assert made.exit_code == 0, made.output
    assert made.stdout == ""
    assert "not compared" in made.stderr
    assert read_exported(model.with_name("bce-openvino-fp32")).measured is None


def test_the_data_set_prepared_here_is_found(invoke: Invoke, model: Path, prepared: Path) -> None:
    folder = Path("data/prepared/toy")
    folder.parent.mkdir(parents=True)
    folder.symlink_to(prepared)
    assert invoke("model", "export", "--model", model).exit_code == 0
    assert read_exported(model.with_name("bce-openvino-fp32")).measured


def test_what_cannot_be_exported_is_a_usage_error(invoke: Invoke, model: Path, prepared: Path) -> None:
    assert "--data" in _refused(invoke("model", "export", "--precision", "int8"))
    assert "fp32" in _refused(invoke("model", "export", "--format", "onnx", "--precision", "int8", "--data", prepared))
    assert "choose another --out" in _refused(invoke("model", "export", "--out", model))
    assert "not a prepared data set" in _refused(invoke("model", "export", "--data", model))
    assert sorted(path.name for path in model.parent.iterdir()) == ["bce"]


def test_other_labels_than_the_models_are_refused(invoke: Invoke, model: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "vocabulary.json").write_text('{"labels": ["moon"]}')
    assert "other labels" in _refused(invoke("model", "export", "--data", tmp_path / "other"))


@pytest.mark.parametrize("format", ["openvino", "onnx"])
def test_a_missing_extra_is_named(format: str, invoke: Invoke, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "installed", lambda package: package not in ("nncf", "onnx"))
    assert "pip install 'aaam-pipe[train]'" in _refused(invoke("model", "export", "--format", format))


def test_a_damaged_export_ends_in_exit_code_4(invoke: Invoke, model: Path, photos: Path) -> None:
    assert invoke("model", "export").exit_code == 0
    (model.with_name("bce-openvino-fp32") / "model.bin").write_bytes(b"?")
    ended = invoke("annotate", photos, "--model", model, "--device", "cpu")
    assert ended.exit_code == 4, ended.output
    assert "damaged" in ended.stderr.splitlines()[-1]


def _refused(result) -> str:  # type: ignore[no-untyped-def]
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return str(result.stderr.splitlines()[-1])
