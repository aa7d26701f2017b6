import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from conftest import make_bundle
from models.bundle_version_2 import make_version_2

from aaam_pipeline.annotate import backends
from aaam_pipeline.core import extras
from aaam_pipeline.core.artifacts import write_checksummed
from aaam_pipeline.core.errors import DeviceError, UsageError
from aaam_pipeline.models.info import Precision, RuntimeForm, read_info


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A bundle without a runtime form."""
    return make_bundle(tmp_path / "models" / "bce")


@pytest.fixture
def model(plain: Path) -> Path:
    """A bundle that says that it has a runtime form in int8."""
    return pretend(plain, "int8")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is installed, and there is no GPU, whatever this machine has."""
    monkeypatch.setattr(extras, "installed", lambda package: True)
    monkeypatch.setattr(backends, "installed", lambda package: True)
    monkeypatch.setattr(backends, "has_gpu", lambda: False)


def pretend(model: Path, precision: Precision) -> Path:
    info = msgspec.structs.replace(read_info(model), runtime=RuntimeForm("model.onnx", precision, {}))
    write_checksummed(model / "bundle.json", info)
    return model


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for module in (extras, backends):
        monkeypatch.setattr(module, "installed", lambda name: name != package)


def test_auto_takes_the_runtime_form_where_the_bundle_has_one(model: Path, plain: Path) -> None:
    chosen = backends.choose("auto", model, "auto")
    assert (chosen.runtime, chosen.precision) == ("openvino", "int8")
    assert chosen.info == backends.model_info("auto", model, "cpu") == backends.model_info("openvino", model, "cpu")
    own = read_info(model)
    assert chosen.info.model_id == f"toy-bce-{own.embedding_id}-int8-{own.head_id}"
    other = make_bundle(plain.with_name("other"))
    assert backends.choose("auto", other, "auto").runtime == "torch"


def test_fp32_is_marked_alike_whatever_computes_it(plain: Path) -> None:
    own = read_info(pretend(plain, "fp32")).model_id
    for name in ("auto", "torch", "openvino"):
        assert backends.model_info(name, plain, "cpu").model_id == own  # type: ignore[arg-type]
    assert backends.model_info("torch-bf16", plain, "cpu").model_id != own


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_auto_takes_torch_on_a_gpu(model: Path, device: str) -> None:
    assert backends.choose("auto", model, device) == backends.Choice("torch", model, "fp32", read_info(model))


def test_a_gpu_that_is_there_wins_but_not_over_what_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = read_info(model)
    monkeypatch.setattr(backends, "has_gpu", lambda: True)
    assert backends.model_info("auto", model, "auto") == own
    assert "-int8-" in backends.model_info("auto", model, "cpu").model_id
    assert "-int8-" in backends.model_info("openvino", model, "auto").model_id
    without(monkeypatch, "torch")
    assert "-int8-" in backends.model_info("auto", model, "auto").model_id


def test_the_gpu_is_not_asked_for_where_the_answer_does_not_matter(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "has_gpu", lambda: pytest.fail("asked"))
    backends.model_info("auto", plain, "auto")
    pretend(plain, "fp32")
    backends.model_info("auto", plain, "auto")


def test_what_does_not_go_together_is_refused(model: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="not on cuda"):
        backends.choose("openvino", model, "cuda")
    with pytest.raises(DeviceError, match="no device 'tpu'"):
        backends.choose("auto", model, "tpu")
    with pytest.raises(UsageError, match="not a model bundle"):
        backends.choose("auto", model.parent, "cpu")
    with pytest.raises(UsageError, match="has no runtime form: use --backend torch"):
        backends.choose("openvino", tiny_bundle, "cpu")


def test_without_torch_only_what_needs_it_is_refused(
    model: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "torch")
    assert backends.choose("auto", model, "auto").runtime == "openvino"
    for folder, name in (
        (tiny_bundle, "auto"),
        (make_version_2(tiny_bundle, tmp_path / "old"), "auto"),
        (model, "torch"),
    ):
        with pytest.raises(UsageError, match=r"torch is not installed: pip install 'aaam-pipe\[train\]'"):
            backends.choose(name, folder, "cpu")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="torch is not installed"):
        backends.choose("auto", model, "cuda")


def test_the_info_of_a_model_is_known_without_loading_a_runtime(model: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom aaam_pipeline.annotate import backends\n"
        f"for name in ('torch', 'auto', 'openvino'): print(backends.model_info(name, Path({str(model)!r}), 'cpu'))\n"
        "print({'torch', 'openvino'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert shown.stdout.splitlines()[-1] == "set()", shown.stderr


def test_an_embedder_takes_what_computes_the_embedding_of_the_index(int8_bundle: Path, photos: Path) -> None:
    photo, own = next(photos.glob("*.jpg")), read_info(int8_bundle)
    for wanted, title in ((own.of_precision("int8").model_id, "OpenVINO int8"), (own.model_id, "torch on cpu")):
        # an index made with another head of the embedding
        embedder = backends.Embedder(int8_bundle, "cpu", wanted[:-8] + "0" * 8)
        assert embedder(photo)[0] == wanted
        assert embedder._backend.title.startswith(title)
