import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import rewrite_json

from aaam_pipeline.annotate import backends
from aaam_pipeline.core import extras
from aaam_pipeline.core.artifacts import write_checksummed
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.models.export import manifest as exported
from aaam_pipeline.models.export.manifest import ExportInfo
from aaam_pipeline.models.inference import Precision
from aaam_pipeline.models.info import read_info


@pytest.fixture
def model(tiny_bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "bce"
    folder.mkdir(parents=True)
    for file in tiny_bundle.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no GPU, whatever this machine has."""
    monkeypatch.setattr(backends, "has_gpu", lambda: False)


def pretend(model: Path, precision: Precision, **changes: Any) -> Path:
    """Write an export's `export.json` beside a bundle, without the model."""
    info = msgspec.structs.replace(exported.marked(read_info(model), precision), **changes)
    folder = exported.export_dir(model, "openvino", precision)
    write_checksummed(
        folder / "export.json", ExportInfo(exported.FORMAT, exported.VERSION, "openvino", precision, info, 8, {}, {})
    )
    return folder


def test_auto_takes_openvino_on_a_cpu(model: Path) -> None:
    assert backends.choose("auto", model, "auto").runtime == "openvino"
    assert backends.choose("auto", model, "cuda").runtime == "torch"


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_auto_takes_torch_on_a_gpu(model: Path, device: str) -> None:
    pretend(model, "int8")
    assert backends.choose("auto", model, device) == backends.Choice("torch", model, "fp32", read_info(model))


def test_the_fastest_export_beside_the_bundle_is_taken(model: Path) -> None:
    for precision in ("fp32", "bf16", "int8"):
        folder = pretend(model, precision)
        chosen = backends.choose("auto", model, "cpu")
        assert (chosen.folder, chosen.precision) == (folder, precision)
        suffix = "" if precision == "fp32" else f"-{precision}"
        assert chosen.info.model_id == read_info(model).model_id + suffix
        assert backends.model_info("auto", model, "cpu") == chosen.info
    assert backends.choose("openvino", model, "cpu").precision == "int8"
    assert backends.choose("torch", model, "cpu").precision == "fp32"


def test_an_export_of_other_weights_does_not_count(model: Path) -> None:
    pretend(model, "int8", weights_sha256="0" * 64)
    assert backends.choose("auto", model, "cpu").folder == model


def test_thresholds_and_calibration_are_those_of_the_bundle(model: Path) -> None:
    pretend(model, "int8", thresholds=[0.9] * 5, calibration=Calibration([2.0] * 5, [0.0] * 5))
    chosen = backends.choose("auto", model, "cpu").info
    assert (chosen.thresholds, chosen.calibration) == (read_info(model).thresholds, read_info(model).calibration)


def test_an_export_of_other_labels_throughout_is_damaged(model: Path) -> None:
    pretend(model, "int8", calibration=Calibration([2.0] * 4, [0.0] * 4))
    with pytest.raises(IntegrityError, match="the calibration is not of 5 labels"):
        backends.choose("auto", model, "cpu")


def test_a_gpu_wins_over_exports_but_not_over_one_that_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, own = pretend(model, "int8"), read_info(model)
    monkeypatch.setattr(backends, "has_gpu", lambda: True)
    assert backends.model_info("auto", model, "auto") == own
    assert backends.model_info("auto", model, "cpu").model_id == f"{own.model_id}-int8"
    assert backends.model_info("openvino", model, "auto").model_id == f"{own.model_id}-int8"
    assert backends.model_info("auto", folder, "auto").model_id == f"{own.model_id}-int8"


def test_the_gpu_is_not_asked_for_where_the_answer_does_not_matter(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "has_gpu", lambda: pytest.fail("asked"))
    backends.model_info("auto", model, "auto")
    pretend(model, "fp32")
    backends.model_info("auto", model, "auto")


def test_what_does_not_go_together_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pretend(model, "int8")
    with pytest.raises(UsageError, match="name the bundle"):
        backends.choose("torch", folder, "cpu")
    with pytest.raises(UsageError, match="not on cuda"):
        backends.choose("auto", folder, "cuda")
    with pytest.raises(UsageError, match="not a model bundle"):
        backends.choose("auto", model.parent, "cpu")


def test_a_bundle_alone_needs_torch(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "installed", lambda package: package != "torch")
    for name in ("torch", "openvino"):
        with pytest.raises(UsageError, match=r"torch is not installed: pip install 'aaam-pipe\[train\]'"):
            backends.create(name, model, "cpu")  # type: ignore[arg-type]


def test_a_damaged_export_is_an_integrity_error(model: Path) -> None:
    folder = pretend(model, "int8")
    manifest = folder / "export.json"
    for damage in ({"files": {"model.xml": "0"}}, {"version": 99}):
        rewrite_json(manifest, **damage)
        with pytest.raises(IntegrityError):
            backends.create("auto", model, "cpu")
    manifest.write_text("{")
    with pytest.raises(IntegrityError):
        backends.create("auto", model, "cpu")


def test_the_info_of_a_model_is_known_without_loading_a_runtime(model: Path) -> None:
    pretend(model, "int8")
    program = (
        "import sys\nfrom pathlib import Path\nfrom aaam_pipeline.annotate import backends\n"
        f"for name in ('torch', 'auto', 'openvino'): print(backends.model_info(name, Path({str(model)!r}), 'cpu'))\n"
        "print({'torch', 'openvino'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if "not installed" in shown.stderr:
        pytest.skip("needs openvino")
    assert shown.stdout.splitlines()[-1] == "set()", shown.stderr
