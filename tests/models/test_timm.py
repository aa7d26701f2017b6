"""Backbones of timm: taken apart, frozen, folded, exported, and what params.yaml leaves to them; no downloads."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aaam_pipeline.core.errors import IntegrityError, ParamsError, UsageError
from aaam_pipeline.models import backbones
from aaam_pipeline.models.backbones.timm_parts import take_apart
from aaam_pipeline.models.inference.torch_backend import InferenceModule
from aaam_pipeline.models.info import AttentionParams, ModelParams
from aaam_pipeline.models.network import Network
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.models.runtime_form import to_onnx

timm = pytest.importorskip("timm")
SMALL = "timm/test_efficientnet"
# a CNN, one with TensorFlow's padding, one whose head has weights, others' stems, and transformers of three layouts
SAME = [
    "test_efficientnet", "tf_efficientnet_lite0", "mobilenetv3_small_050", "resnet18", "test_convnext", "regnety_002",
    "test_byobnet", "test_coatnet", "test_mambaout", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224",
]  # fmt: skip


def original(name: str, size: int) -> nn.Module:
    fixed = {"img_size": size} if timm.get_pretrained_cfg(name).fixed_input_size else {}
    model: nn.Module = timm.create_model(name, **fixed)
    model.reset_classifier(0)  # type: ignore[operator]
    return model.eval()


@pytest.mark.parametrize("name", SAME)
@torch.inference_mode()
def test_a_backbone_taken_apart_computes_what_the_whole_model_did(name: str) -> None:
    size = 224 if name.startswith("swin") else 96
    model, images = original(name, size), torch.randn(2, 3, size, size)
    tokens = model.forward_features(images)  # type: ignore[operator]
    # the class token is left out: the mean of the patches stands for it
    expected = tokens[:, 1:].mean(1) if name.startswith("vit") else model(images)
    parts = take_apart(f"timm/{name}", model, size)
    for part in parts:
        part.eval()
    p_BCHW = parts.features(images)
    torch.testing.assert_close(parts.neck(parts.pool(p_BCHW)), expected, rtol=1e-4, atol=1e-5)
    channels, (height, width), dimension = backbones.shapes(parts, size)
    assert p_BCHW.shape == (2, channels, height, width)
    assert expected.shape == (2, dimension)


@torch.inference_mode()
def test_a_token_of_a_transformer_lies_where_its_patch_is() -> None:
    parts = backbones.load("timm/test_vit_relpos", "none", 0.0, 64)
    model = original("test_vit_relpos", 64)
    images = torch.randn(1, 3, 64, 64)
    tokens = model.forward_features(images)  # type: ignore[operator]
    found = take_apart("timm/test_vit_relpos", model, 64).features.eval()(images)
    assert found.shape == (1, parts.features.eval()(images).shape[1], 4, 4)
    torch.testing.assert_close(found[0, :, 1, 2], tokens[0, 4 + 2], rtol=1e-4, atol=1e-4)


def test_prefix_tokens_are_off_the_map() -> None:
    assert backbones.shapes(backbones.load("timm/deit_tiny_distilled_patch16_224", "none", 0.0, 64), 64) == (
        192, (4, 4), 192,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "layers"),
    # stem, stages, and what follows them
    [("test_efficientnet", 6), ("tf_efficientnet_lite0", 8), ("resnet18", 5), ("vit_tiny_patch16_224", 14)],
)
def test_the_layers_of_a_backbone_are_its_stem_and_stages(name: str, layers: int) -> None:
    features = backbones.load(f"timm/{name}", "none", 0.0, 64).features
    assert isinstance(features, nn.Sequential)
    assert len(features) == layers


def network(name: str = SMALL, size: int = 64, **chosen: Any) -> Network:
    torch.manual_seed(3)
    chosen = {"weights": "none", "dropout": 0.0, "attention": AttentionParams(filters="depthwise")} | chosen
    made = Network(ModelParams(name, **chosen), 4, size)
    for layer in made.features.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean = torch.rand_like(layer.weight)
            layer.running_var = torch.rand_like(layer.weight) + 0.5
    return made


@pytest.mark.parametrize("name", [SMALL, "timm/tf_efficientnet_lite0", "timm/resnet18", "timm/test_convnext"])
def test_frozen_layers_give_the_same_map_in_training_as_in_evaluation(name: str) -> None:
    made, images = network(name, frozen_layers=3), torch.randn(3, 3, 64, 64)
    evaluated = made.eval()(images)
    trained = made.train()(images)
    torch.testing.assert_close(trained, evaluated, rtol=1e-3, atol=1e-4)
    assert trained.requires_grad


@pytest.mark.parametrize("name", [SMALL, "timm/tf_efficientnet_lite0"])
def test_batch_norm_of_frozen_layers_is_folded(name: str) -> None:
    made = network(name, frozen_layers=3).train()
    assert any(isinstance(each, nn.BatchNorm2d) for each in made.features[:3].modules())  # type: ignore[index]
    assert not any(isinstance(each, nn.BatchNorm2d) for each in made._folded[0].modules())


def test_a_backbone_without_stages_cannot_be_frozen_in_part() -> None:
    with pytest.raises(ParamsError, match="one has to be left that learns"):
        network("timm/eva02_tiny_patch14_224", size=56, frozen_layers=1)


class Undecided(nn.Module):
    """What torch.fx cannot trace: it looks at values."""

    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images


def test_layers_that_cannot_be_traced_are_frozen_unfolded() -> None:
    made, images = network(frozen_layers=3), torch.randn(3, 3, 64, 64)
    made.features[0] = nn.Sequential(Undecided(), made.features[0])  # type: ignore[index, operator]
    torch.testing.assert_close(made.train()(images), made.eval()(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
def test_a_step_leaves_frozen_layers_and_their_statistics_as_they_are(batch_norm: str) -> None:
    made = network(frozen_layers=3, batch_norm=batch_norm).train()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    trained = [parameter for group in made.groups().values() for parameter in group]
    made(torch.randn(3, 3, 64, 64)).square().sum().backward()
    torch.optim.SGD(trained, 0.1).step()
    changed = {name for name, tensor in made.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not {name for name in changed if name.startswith(("features.0.", "features.1.", "features.2."))}
    assert any(name.startswith("features.3.") for name in changed)
    assert any("running_mean" in name for name in changed) == (batch_norm == "train")


def test_large_depthwise_kernels_can_be_kept() -> None:
    made = network("timm/tf_efficientnet_lite0", frozen_layers=2, frozen_depthwise=5).train()
    grouped = {id(each) for each in made.groups()["features"]}
    kept = [
        each.weight.shape[-1]
        for each in made.features[2:].modules()  # type: ignore[index]
        if isinstance(each, nn.Conv2d) and id(each.weight) not in grouped
    ]
    assert set(kept) == {5}
    assert len(kept) == 9
    assert all(each.requires_grad == (id(each) in grouped) for each in made.features.parameters())
    made(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(each.grad is None for each in made.features.parameters() if id(each) not in grouped)


def test_training_together_keeps_the_activations() -> None:
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(network(batch_norm="train"))  # type: ignore[no-untyped-call]
    activations = [each for each in synced.features.modules() if isinstance(each, nn.SiLU | nn.ReLU)]
    assert len(activations) > 5


def test_dropout_is_the_heads() -> None:
    torch.manual_seed(0)
    made = network(dropout=0.9).train()
    assert (made.embed(torch.randn(2, 3, 64, 64)) == 0).float().mean() > 0.5


@pytest.mark.parametrize("name", [SMALL, "timm/test_vit_relpos"])
def test_a_timm_network_has_a_runtime_form(name: str, tmp_path: Path) -> None:
    import openvino

    made, preprocess = network(name).eval(), Preprocess(size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        _, embedding = InferenceModule(made, preprocess)(pixels)
    (tmp_path / "model.onnx").write_bytes(to_onnx(made, preprocess).SerializeToString())
    form = openvino.compile_model(tmp_path / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    torch.testing.assert_close(torch.from_numpy(form([pixels.numpy()])[0]), embedding, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["test_efficientnet", "vit_tiny_patch16_224"])
def test_a_weights_file_is_loaded_whole_and_half_precision_becomes_single(name: str, tmp_path: Path) -> None:
    model = timm.create_model(name)
    path = tmp_path / "weights.safetensors"
    save_file({key: each.contiguous().half() for key, each in model.state_dict().items()}, path)
    # position embeddings become those of the smaller picture
    made = backbones.load(f"timm/{name}", str(path), 0.0, 64).features
    kept = next(each for each in model.parameters() if each.ndim == 4)
    found = next(each for each in made.parameters() if each.ndim == 4)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, kept.half().float())


@pytest.mark.parametrize("kind", ["other architecture", "one too few", "text"])
def test_a_weights_file_that_does_not_fit_is_an_integrity_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    weights = {key: each.contiguous() for key, each in timm.create_model("test_efficientnet").state_dict().items()}
    if kind == "other architecture":
        weights = {key: each.contiguous() for key, each in timm.create_model("test_resnet").state_dict().items()}
    elif kind == "one too few":
        del weights["conv_stem.weight"]
    save_file(weights, path)
    if kind == "text":
        path.write_text("no weights")
    with pytest.raises(IntegrityError, match="does not hold the weights of timm/test_efficientnet") as caught:
        backbones.load(SMALL, str(path), 0.0, 64)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="no weights file"):
        backbones.load(SMALL, str(tmp_path / "nowhere.safetensors"), 0.0, 64)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("timm/tf_efficientnet_light2", "did you mean timm/tf_efficientnet_lite2"),
        ("timm/resnet18.a17_in1k", "no weights 'a17_in1k' of timm/resnet18; known: a1_in1k"),
        ("timm/hf-hub:someone/model", "no backbone"),
        ("timm/", "no backbone"),
    ],
)
def test_an_unknown_name_is_refused_with_those_that_are_near(name: str, meant: str) -> None:
    with pytest.raises(ParamsError, match=meant) as caught:
        backbones.load(name, "none", 0.0, 64)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "size"), [("timm/test_coatnet", 40), ("timm/inception_v3", 32)])
def test_a_size_that_does_not_suit_is_refused_in_one_line(name: str, size: int) -> None:
    with pytest.raises(ParamsError, match=f"preprocess.size {size} does not suit {name}") as caught:
        backbones.load(name, "none", 0.0, size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["timm/vit_base_patch16_siglip_224", "timm/eva02_tiny_patch14_224", "timm/fastvit_t8"])
def test_a_parameter_is_in_one_half_only(name: str) -> None:
    made = network(name, size=56 if "14" in name else 64)
    grouped = [id(each) for group in made.groups().values() for each in group]
    assert len(grouped) == len(set(grouped)) == len(list(made.parameters()))


def test_a_failed_download_is_one_line_that_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UsageError, match=r"no route to host; set model\.weights to a \.safetensors file"):
        backbones.load(SMALL, "imagenet", 0.0, 64)


def test_the_real_lite2_weights_load_and_see_what_is_there(shared: Path) -> None:
    path = shared / "weights" / "tf_efficientnet_lite2_imagenet.safetensors"
    if not path.is_file():
        pytest.skip("no weights in AAAM_SHARED")
    made = backbones.load("timm/tf_efficientnet_lite2", str(path), 0.0, 96)
    stored = load_file(path)
    assert stored["conv_stem.weight"].dtype == torch.float16
    found = made.features.state_dict()
    assert torch.equal(found["1.0.conv_dw.weight"] if "1.0.conv_dw.weight" in found else found["1.conv_dw.weight"],
                       stored["blocks.0.0.conv_dw.weight"].float())  # fmt: skip
    with pytest.raises(IntegrityError):
        backbones.load("timm/tf_efficientnet_lite0", str(path), 0.0, 96)
