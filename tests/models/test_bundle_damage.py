"""A bundle that was flipped or cut off anywhere is refused: no label, threshold or weight is another."""

import shutil
from itertools import chain
from pathlib import Path

import pytest
import torch
from damage import flipped, truncated

from aaam_pipeline.annotate import backends, inputs, runner
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.models import bundle
from aaam_pipeline.models.info import read_info

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
FILES = ["bundle.json", "model.safetensors", "head.safetensors"]


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


@pytest.mark.parametrize("name", FILES)
def test_bits_flipped_at_200_places_never_give_another_model(name: str, copy: Path) -> None:
    right = bundle.load(copy, CPU)
    for place in flipped(copy / name):
        try:
            loaded = bundle.load(copy, CPU)
        except IntegrityError:
            continue
        # "1e-05" and "1E-05" are the same number
        assert loaded.info == right.info, f"byte {place}"
        assert name == "bundle.json", f"byte {place}"
    assert bundle.load(copy, CPU).info == right.info


@pytest.mark.parametrize("name", FILES)
def test_files_cut_off_at_200_places_are_refused(name: str, copy: Path) -> None:
    for _ in truncated(copy / name):
        with pytest.raises(IntegrityError):
            bundle.load(copy, CPU)


def test_a_changed_label_or_threshold_is_refused(copy: Path) -> None:
    content = (copy / "bundle.json").read_text()
    for before, after in (('"dog"', '"cat"'), ("0.5", "0.4"), ('"k": 2', '"k": 3')):
        assert before in content
        (copy / "bundle.json").write_text(content.replace(before, after))
        with pytest.raises(IntegrityError, match=r"bundle\.json was changed"):
            read_info(copy)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_annotated_with_a_damaged_bundle(name: str, copy: Path, photos: Path, tmp_path: Path) -> None:
    options = runner.Options(backend="torch", num_workers=0)
    for _ in flipped(copy / name, 5):
        with pytest.raises(IntegrityError):
            runner.annotate(inputs.find([photos]), copy, tmp_path / "out", options, NullReporter())
        assert not (tmp_path / "out").exists()


def test_a_damaged_runtime_form_is_never_run(
    formed_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(formed_bundle, tmp_path / "bundle"))
    right = read_info(copy)
    backends.create("openvino", copy, "cpu")
    # reading one that is whole takes long, and is what must not happen
    monkeypatch.setattr("aaam_pipeline.models.inference.openvino_backend.read_form", lambda path: path)
    monkeypatch.setattr("aaam_pipeline.models.inference.openvino_backend.OpenVinoBackend", lambda *_: None)
    for name in ("bundle.json", "head.safetensors", "model.onnx"):
        for place in chain(flipped(copy / name), truncated(copy / name, 40)):
            try:
                backends.create("openvino", copy, "cpu")
                same = read_info(copy) == right
            except IntegrityError:
                continue
            assert same, f"{name} byte {place}"
            assert name == "bundle.json", f"{name} byte {place}"
