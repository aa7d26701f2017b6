import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conftest import make_bundle, noise

from aaam_pipeline import metrics
from aaam_pipeline.annotate import backends
from aaam_pipeline.core import extras
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.formats import familiarity
from aaam_pipeline.models import bundle, create
from aaam_pipeline.models.inference.openvino_backend import read_form
from aaam_pipeline.models.info import familiarity_of, read_info
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.models.runtime_form import (
    FormMaker,
    FormRequest,
    LabelledImages,
    export_bundle,
    kept_nodes,
    to_onnx,
)

pytestmark = pytest.mark.slow


def test_all_forms_give_the_same_scores(formed_bundle: Path, int8_bundle: Path) -> None:
    pixels_NSS3 = noise(40)
    right = backends.create("torch", formed_bundle, "cpu")
    expected = right.start(pixels_NSS3)()
    for folder, precision, most in ((formed_bundle, "fp32", 0.001), (int8_bundle, "int8", 0.05)):
        form = backends.create("openvino", folder, "cpu")
        found = form.start(pixels_NSS3)()
        # untrained weights forgive int8 less than trained ones, of which 0.01 is asked
        assert np.abs(found.scores_BL - expected.scores_BL).mean() < most
        assert found.embedding_BD.shape == expected.embedding_BD.shape
        assert form.title == f"OpenVINO {precision} on cpu"
        assert (form.info.model_id == right.info.model_id) == (precision == "fp32")


def test_equal_training_gives_equal_bytes(int8_bundle: Path, tmp_path: Path) -> None:
    # the fixture's own way once more
    pixels_NSS3 = noise(60)
    scores_NL = backends.create("torch", int8_bundle, "cpu").start(pixels_NSS3)().scores_BL
    images = LabelledImages(pixels_NSS3[30:], scores_NL[30:] > np.median(scores_NL, axis=0), metrics.evaluate)
    again = make_bundle(tmp_path / "b", make_form=FormMaker(FormRequest("int8"), pixels_NSS3[:30], images))
    assert {path.name for path in again.iterdir()} == {path.name for path in int8_bundle.iterdir()}
    for path in again.iterdir():
        assert path.read_bytes() == (int8_bundle / path.name).read_bytes(), path.name


@pytest.mark.parametrize(("allowed", "precision"), [(100.0, "int8"), (-1.0, "fp32")])
def test_int8_is_taken_where_it_loses_little_and_both_figures_are_kept(
    allowed: float, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aaam_pipeline.models.runtime_form.MOST_DIFFERENT", 1.0)
    pixels_NSS3, targets_NL = noise(40), np.eye(5, dtype=np.int8).repeat(8, 0)
    maker = FormMaker(
        FormRequest("auto", allowed), pixels_NSS3[:20], LabelledImages(pixels_NSS3, targets_NL, metrics.evaluate)
    )
    folder = make_bundle(tmp_path / "b", make_form=maker)
    form = read_info(folder).runtime
    assert form
    assert form.precision == precision
    assert form.loss
    assert form.loss.images == 40
    assert 0 < form.loss.map_fp32 < 1
    assert 0 < form.loss.map_int8 < 1
    assert sorted(path.name for path in folder.iterdir()) == [
        "bundle.json", "card.md", "head.safetensors", "model.onnx", "model.safetensors"
    ]  # fmt: skip
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(folder / "model.onnx").graph.node} or (
        precision == "fp32"
    )
    assert "int8" in (folder / "card.md").read_text()


def test_the_file_names_no_folder_of_this_machine(formed_bundle: Path) -> None:
    content = (formed_bundle / "model.onnx").read_bytes()
    for name in (b"aaam_pipeline", b"site-packages", b".py"):
        assert name not in content


def test_depthwise_convolutions_are_found() -> None:
    network = create("mobilenet_v2", "none", 3, size=32).eval()
    graph = to_onnx(network, Preprocess(size=32))
    assert [len(kept_nodes(graph, kinds)) for kinds in ((), ("depthwise",), ("first",))] == [0, 17, 6]
    # two of the first are depthwise
    assert len(kept_nodes(graph, ("depthwise", "first"))) == 21


def test_what_is_missing_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--data"):
        FormMaker(FormRequest("int8"))
    monkeypatch.setattr(extras, "installed", lambda package: package != "nncf")
    FormMaker(FormRequest("fp32"))
    with pytest.raises(UsageError, match=r"nncf is not installed: pip install 'aaam-pipe\[train\]'"):
        FormMaker(FormRequest("int8"), noise(2))


def test_annotating_with_the_runtime_form_never_loads_torch(formed_bundle: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(formed_bundle, tmp_path / "models" / "toy")
    program = (
        "import sys\nsys.modules['torch'] = None\nfrom aaam_pipeline.__main__ import main\n"
        f"sys.argv = ['aaam-pipe', 'annotate', {str(photos)!r}]\nmain()"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "model: toy, the newest below ./models" in shown.stderr
    assert (tmp_path / "annotations" / "part-00000.parquet").is_file()


def test_openvino_is_used_without_its_telemetry(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom aaam_pipeline.models.inference import load_openvino\nload_openvino()\nimport nncf\n"
        "print('openvino.tools.ovc' in sys.modules)\nfrom openvino.tools.ovc import convert_model\n"
        "print(sys.modules['openvino_telemetry'])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"HOME": str(tmp_path)}
    )
    # nor are its converters loaded, before they are asked for
    assert shown.stdout.splitlines()[-2:] == ["False", "None"]
    assert not (tmp_path / "intel").exists()


def test_a_form_of_another_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = create("vgg_small", "none", 5, size=32).eval()
    plain = to_onnx
    monkeypatch.setattr("aaam_pipeline.models.runtime_form.to_onnx", lambda _, preprocess: plain(other, preprocess))
    with pytest.raises(Exception, match="differ by"):
        make_bundle(tmp_path / "b", make_form=FormMaker(FormRequest("fp32")))
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_of_torch_can_be_exported_again(tiny_bundle: Path, formed_bundle: Path, tmp_path: Path) -> None:
    loaded = bundle.load(tiny_bundle, torch.device("cpu"))
    made = bundle.save(loaded.network, loaded.info, tmp_path / "b", FormMaker(FormRequest("fp32")))
    assert made == read_info(formed_bundle)


def test_an_exported_bundle_still_tells_unfamiliar_pictures(tiny_bundle: Path, tmp_path: Path) -> None:
    loaded, embedding_ND = bundle.load(tiny_bundle, torch.device("cpu")), np.random.default_rng(0).random((80, 256))
    fitted = familiarity.fit(embedding_ND[:64], embedding_ND[64:])
    bundle.save(loaded.network, loaded.info, tmp_path / "plain", None, fitted)
    export_bundle(tmp_path / "plain", tmp_path / "exported", FormMaker(FormRequest("fp32")))
    kept = familiarity_of(tmp_path / "exported", read_info(tmp_path / "exported"))
    assert kept
    assert kept.threshold == fitted.threshold
    assert np.array_equal(kept.centroids_KD, fitted.centroids_KD)


@pytest.mark.parametrize("content", [b"junk" * 1000, b"", bytes(range(256)) * 9, b"\x08\x07\x12"])
def test_what_is_no_onnx_is_one_line_and_no_noise(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"^\S*model\.onnx cannot be read: \S"):
        read_form(tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")
