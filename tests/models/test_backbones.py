from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aaam_pipeline.core.errors import AaamError, IntegrityError, ParamsError, UsageError
from aaam_pipeline.models import backbones
from aaam_pipeline.models.backbones.vgg_small import SmallVgg
from aaam_pipeline.models.info import AttentionParams, ModelParams
from aaam_pipeline.models.network import Network

FAMILIES = [
    ("alexnet", 64), ("vgg11", 64), ("squeezenet1_1", 64), ("densenet121", 64), ("mobilenet_v2", 64),
    ("mobilenet_v3_small", 64), ("efficientnet_b0", 64), ("convnext_tiny", 64), ("mnasnet0_5", 64), ("resnet18", 64),
    ("regnet_y_400mf", 64), ("shufflenet_v2_x0_5", 64), ("googlenet", 64), ("inception_v3", 96), ("vgg_small", 48),
]  # fmt: skip
HEAD_NAMES = ("classifier", "fc")


def original_model(name: str) -> nn.Module:
    """Make the model as its authors did."""
    if name == "vgg_small":
        return SmallVgg()
    plain = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(name, weights=None, **plain)


def taken_apart(name: str, model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> backbones.Backbone:
    """Return what `load` makes of this very `model`, in evaluation mode."""
    monkeypatch.setattr(backbones.torchvision, "build", lambda *_: model)
    made = backbones.load(name, "none", dropout=0.5, size=64)
    model.eval()
    for part in made:
        part.eval()
    return made


def whole(name: str, model: nn.Module, images: Tensor) -> Tensor:
    """Return the original model's output; `vgg_small` only ever exists in parts."""
    return model.classifier(model.avgpool(model.features(images)).flatten(1)) if name == "vgg_small" else model(images)


def last_layer(name: str, model: nn.Module) -> nn.Module:
    head = next(getattr(model, each) for each in HEAD_NAMES if hasattr(model, each))
    if name.startswith("squeezenet"):
        # 1 x 1 convolution, ReLU, pooling: without the ReLU the same as pooling first
        head[2] = nn.Identity()
        return nn.Sequential(nn.Unflatten(1, (-1, 1, 1)), head[1], nn.Flatten())
    return head[-1] if isinstance(head, nn.Sequential) else head


@pytest.mark.parametrize(("name", "size"), FAMILIES)
@torch.inference_mode()
def test_a_backbone_taken_apart_computes_what_the_whole_model_did(
    name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    model = original_model(name)
    parts = taken_apart(name, model, monkeypatch)
    last = last_layer(name, model)
    images = torch.randn(2, 3, size, size)
    p_BCHW = parts.features(images)
    embedding_BD = parts.neck(parts.pool(p_BCHW))
    expected = whole(name, model, images)
    spread = float(expected.std())
    assert spread > 0
    torch.testing.assert_close(last(embedding_BD), expected, rtol=1e-3, atol=1e-4 * spread)
    channels, (height, width), dimension = backbones.shapes(parts, size)
    assert p_BCHW.shape == (2, channels, height, width)
    assert embedding_BD.shape == (2, dimension)


@pytest.mark.parametrize("name", ["vit_b_32", "swin_t", "maxvit_t"])
def test_transformers_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(ParamsError, match=f"{name} .* CNN such as vgg16") as caught:
        backbones.load(name, "none", 0.5, 64)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ParamsError, match=r"no backbone 'resnet17'.*resnet18") as caught:
        backbones.load("resnet17", "none", 0.5, 64)
    assert "\n" not in str(caught.value)


def test_detection_models_are_no_backbones() -> None:
    with pytest.raises(ParamsError, match="no backbone"):
        backbones.load("fasterrcnn_resnet50_fpn", "none", 0.5, 64)


def test_the_small_vgg_has_no_imagenet_weights() -> None:
    with pytest.raises(ParamsError, match="no ImageNet weights"):
        backbones.load("vgg_small", "imagenet", 0.5, 64)


def test_a_failed_download_is_one_line_that_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.models, "get_model", offline)
    with pytest.raises(UsageError, match="safetensors file"):
        backbones.load("resnet18", "imagenet", 0.5, 64)


def test_pictures_too_small_for_a_backbone_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"preprocess\.size 16 is too small"):
        backbones.shapes(backbones.load("squeezenet1_1", "none", 0.5, 64), 16)


def test_dropout_is_set_everywhere() -> None:
    made = backbones.load("vgg_small", "none", 0.25, 64)
    assert [module.p for module in made.neck.modules() if isinstance(module, nn.Dropout)] == [0.25]


def state(name: str) -> dict[str, Tensor]:
    return {key: tensor.contiguous() for key, tensor in original_model(name).state_dict().items()}


def test_a_weights_file_is_loaded(tmp_path: Path) -> None:
    weights = state("vgg_small")
    weights["features.0.weight"] += 1
    save_file(weights, tmp_path / "weights.safetensors")
    made = backbones.load("vgg_small", str(tmp_path / "weights.safetensors"), 0.5, 64)
    assert torch.equal(made.features.state_dict()["0.weight"], weights["features.0.weight"])


def test_a_missing_weights_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no weights file .*nowhere\.safetensors"):
        backbones.load("vgg_small", str(tmp_path / "nowhere.safetensors"), 0.5, 64)


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "other architecture", "one too few", "pickle"])
def test_a_weights_file_that_does_not_fit_is_an_integrity_error(kind: str, tmp_path: Path) -> None:
    path, weights = tmp_path / "weights.safetensors", state("vgg_small")
    if kind == "other architecture":
        weights = state("squeezenet1_1")
    elif kind == "one too few":
        del weights["features.0.weight"]
    save_file(weights, path)
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "pickle":
        torch.save(weights, path)
    elif kind in ("text", "empty"):
        path.write_text("" if kind == "empty" else "these are no weights at all")
    with pytest.raises(IntegrityError, match="does not hold the weights of vgg_small") as caught:
        backbones.load("vgg_small", str(path), 0.5, 64)
    assert "\n" not in str(caught.value)


def test_the_real_mobilenet_weights_load_and_are_used(shared: Path) -> None:
    path = shared / "weights" / "mobilenet_v2_imagenet.safetensors"
    if not path.is_file():
        pytest.skip("no weights in AAAM_SHARED")
    made = backbones.load("mobilenet_v2", str(path), 0.2, 64)
    stored = load_file(path)
    assert torch.equal(made.features.state_dict()["0.0.weight"], stored["features.0.0.weight"])
    with pytest.raises(AaamError):
        backbones.load("mobilenet_v3_small", str(path), 0.2, 64)


@pytest.mark.parametrize(("batch_norm", "moves"), [("frozen", False), ("train", True)])
def test_frozen_batch_norm_keeps_its_statistics_while_training(batch_norm: str, moves: bool) -> None:
    params = ModelParams(
        backbone="vgg_small",
        weights="none",
        batch_norm=batch_norm,  # type: ignore[arg-type]
        attention=AttentionParams(filters="depthwise"),
    )
    network = Network(params, num_labels=3, size=32).train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(norm.training is moves for norm in norms)
    before = norms[0].running_mean.clone()  # type: ignore[union-attr]
    network(torch.randn(4, 3, 32, 32))
    assert torch.equal(before, norms[0].running_mean) is not moves  # type: ignore[arg-type]
    assert any(module.training for module in network.modules() if isinstance(module, nn.Dropout))
