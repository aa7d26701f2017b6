import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from aaam_pipeline.core import extras
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.models import bundle, inference
from aaam_pipeline.models.bundle import Bundle
from aaam_pipeline.models.export import convert as export
from aaam_pipeline.models.export import manifest as exported
from aaam_pipeline.models.inference import Precision, Runtime
from aaam_pipeline.models.inference.torch_backend import InferenceModule

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loaded(tiny_bundle: Path) -> Bundle:
    return bundle.load(tiny_bundle, torch.device("cpu"))


def pictures(count: int) -> NDArray[np.uint8]:
    blocks = np.random.default_rng(count).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return blocks.repeat(8, 1).repeat(8, 2)


def reference(loaded: Bundle, pixels_BSS3: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    images = loaded.info.preprocess.normalise(torch.tensor(pixels_BSS3))
    return [answer.numpy() for answer in loaded.network.predict(images)]


def test_the_whole_model_is_preprocessing_network_and_sigmoid(loaded: Bundle) -> None:
    pixels = pictures(9)
    with torch.inference_mode():
        answers = InferenceModule(loaded.network, loaded.info.preprocess)(torch.tensor(pixels))
    for answer, expected in zip(answers, reference(loaded, pixels), strict=True):
        np.testing.assert_array_equal(answer.numpy(), expected)


@pytest.mark.parametrize(("runtime", "precision"), [("openvino", "bf16"), ("onnx", "fp32")])
def test_what_is_written_is_read_back_and_gives_the_same(
    runtime: Runtime, precision: Precision, loaded: Bundle, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    made = export.write(loaded, tmp_path, runtime, precision)
    assert exported.read_exported(tmp_path) == made
    exported.check_files(tmp_path, made)
    assert exported.same_model(made.info, loaded.info)
    assert made.embedding_dim == loaded.network.embedding_dim
    file = next(tmp_path / name for name in made.files if not name.endswith(".bin"))
    compiled = inference.load_openvino().Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for pixels in (pictures(1), pictures(5)):
        for answer, expected in zip(compiled(pixels).values(), reference(loaded, pixels), strict=True):
            np.testing.assert_allclose(answer, expected, atol=0.005, rtol=0.001)


def test_only_precisions_with_other_scores_have_another_model_id(loaded: Bundle) -> None:
    own = loaded.info.model_id
    ids = [exported.marked(loaded.info, precision).model_id for precision in ("fp32", "bf16", "int8")]
    assert ids == [own, f"{own}-bf16", f"{own}-int8"]


def test_quantised_scores_are_near_the_models_own(loaded: Bundle) -> None:
    pytest.importorskip("nncf")
    pixels = pictures(24)
    model = export.quantise(export.to_openvino(loaded.network, loaded.info.preprocess), pixels)
    assert "FakeQuantize" in {node.get_type_name() for node in model.get_ops()}
    compiled = inference.load_openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    difference = np.abs(compiled(pixels)[0] - reference(loaded, pixels)[0])
    # untrained weights forgive less than trained ones
    assert 0 < difference.mean() < 0.1


def test_a_file_that_changed_is_an_integrity_error(loaded: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    made = export.write(loaded, tmp_path, "openvino", "fp32")
    (tmp_path / "model.bin").write_bytes(b"?")
    with pytest.raises(IntegrityError, match="damaged"):
        exported.check_files(tmp_path, made)
    (tmp_path / "model.bin").unlink()
    with pytest.raises(IntegrityError, match="missing"):
        exported.check_files(tmp_path, made)


def test_a_folder_without_a_manifest_is_no_export(tmp_path: Path) -> None:
    assert not exported.is_export(tmp_path)
    with pytest.raises(UsageError, match="not an exported model"):
        exported.read_exported(tmp_path)


def test_exports_lie_beside_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exported.export_dir(tmp_path / "bce", "onnx", "fp32") == tmp_path / "bce-onnx-fp32"
    (tmp_path / "bce").mkdir()
    monkeypatch.chdir(tmp_path / "bce")
    assert exported.export_dir(Path(), "openvino", "int8") == tmp_path / "bce-openvino-int8"


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_what_is_missing_is_named_with_how_to_install_it(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = inference.PACKAGES[runtime][-1]
    monkeypatch.setattr(extras, "installed", lambda package: package != missing)
    with pytest.raises(UsageError, match=rf"{missing} is not installed: pip install 'aaam-pipe\[train\]'"):
        export.export_bundle(tmp_path, tmp_path / "out", export.ExportRequest(runtime, "fp32"), NullReporter())


def test_openvino_is_used_without_its_telemetry(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    program = (
        "import sys\nfrom aaam_pipeline.models.inference import load_openvino\nload_openvino()\nimport nncf\n"
        "print(sys.modules['openvino_telemetry'])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"HOME": str(tmp_path)}
    )
    assert shown.stdout.splitlines()[-1] == "None"
    assert not (tmp_path / "intel").exists()
