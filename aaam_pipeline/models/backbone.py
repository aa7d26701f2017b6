"""Any torchvision classification CNN by name, taken apart where AAAM puts its attention.

A classification CNN is `features -> pool -> neck -> last layer`: `features` ends in the last feature map p, `neck` is
what its authors put between pooling and the 1,000 ImageNet outputs (VGG16: fc6, ReLU, dropout, fc7, ReLU, dropout).
The last layer is dropped: AAAM has its own. Besides torchvision's names there is `vgg_small`, a VGG for small pictures.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from aaam_pipeline.core.errors import IntegrityError, ParamsError, UsageError

log = logging.getLogger(__name__)

# channels of each convolution, and whether the map is halved after it
SMALL_VGG = ((24, True), (48, True), (48, False), (96, True), (96, False), (128, True), (160, False))
# children of a torchvision model at which the feature map ends
HEADS = ("avgpool", "classifier", "fc")
TRANSFORMERS = ("maxvit", "swin", "vit")


class Backbone(NamedTuple):
    """The parts of a CNN: images (B, 3, S, S) -> features (B, C, H, W) -> pool -> neck (B, D)."""

    features: nn.Module
    pool: nn.Module
    neck: nn.Module


class SmallVgg(nn.Module):
    """A VGG with batch norm for pictures of about 100 px (Simonyan and Zisserman 2015, configuration cut down).

    Pooling comes before normalisation and ReLU, not after: nearly the same function on a quarter of the values. The
    last pooling takes the maximum over the whole map: a small thing anywhere in the picture counts.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width, halve in SMALL_VGG:
            layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
            if halve:
                layers.append(nn.MaxPool2d(2))
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveMaxPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(channels, 256), nn.ReLU(True), nn.Dropout(dropout), nn.Linear(256, num_classes)
        )


def load(name: str, weights: str, dropout: float) -> Backbone:
    """Make the backbone `name` with `weights`: `imagenet` (torchvision's download), `none`, or a .safetensors file.

    Raises:
        ParamsError: there is no such backbone, or no ImageNet weights for it.
        UsageError: the weights file is not there, or the download failed.
        IntegrityError: the weights file does not fit the backbone.
    """
    log.info("backbone %s with weights: %s", name, weights)
    model = _build(name, weights)
    if weights not in ("imagenet", "none"):
        _load_file(model, Path(weights), name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    return _take_apart(name, model)


def _build(name: str, weights: str) -> nn.Module:
    if name == "vgg_small":
        if weights == "imagenet":
            raise ParamsError("vgg_small has no ImageNet weights; use weights: none, or a torchvision backbone")
        return SmallVgg()
    # a second to import, which annotating with vgg_small or an exported model can spare
    import torchvision

    every = torchvision.models.list_models(module=torchvision.models)
    known = [each for each in every if not each.startswith(TRANSFORMERS)]
    if name in every and name not in known:
        raise ParamsError(f"{name} is a transformer, without the feature map that AAAM needs; use a CNN such as vgg16")
    if name not in known:
        raise ParamsError(f"no backbone {name!r}; vgg_small or one of torchvision's: {', '.join(known)}")
    # a slow initialisation, only there for training on ImageNet
    plain = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    try:
        model: nn.Module = torchvision.models.get_model(
            name, weights="IMAGENET1K_V1" if weights == "imagenet" else None, **plain
        )
    except OSError as error:
        raise UsageError(
            f"cannot download ImageNet weights for {name}: {error}; set model.weights to a .safetensors file"
        ) from None
    return model


def _load_file(model: nn.Module, path: Path, name: str) -> None:
    if not path.is_file():
        raise UsageError(f"no weights file {path}")
    try:
        model.load_state_dict(load_file(path), strict=True)
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise IntegrityError(f"{path} does not hold the weights of {name}: {reason}") from None


def _take_apart(name: str, model: nn.Module) -> Backbone:
    """Split a torchvision CNN, whose forward pass runs its children in order, at the end of its feature map."""
    parts = dict(model.named_children())
    head = next(part for part in parts if part in HEADS)
    spatial = [parts[part] for part in list(parts)[: list(parts).index(head)] if not part.lower().startswith("aux")]
    classifier = parts.get("classifier")
    neck = list(classifier.children())[:-1] if isinstance(classifier, nn.Sequential) else []
    pool = parts.get("avgpool", nn.AdaptiveAvgPool2d(1))
    # two families do in their forward pass what the others do in a module
    if name.startswith("densenet"):
        spatial.append(nn.ReLU(inplace=True))
    if name.startswith("squeezenet"):
        # its classifier is dropout, a 1 x 1 convolution to the classes, and the pooling after it
        neck = neck[:1]
    if not any(isinstance(layer, nn.Flatten) for layer in neck):
        neck = [nn.Flatten(), *neck]
    return Backbone(spatial[0] if len(spatial) == 1 else nn.Sequential(*spatial), pool, nn.Sequential(*neck))


def shapes(backbone: Backbone, size: int) -> tuple[int, tuple[int, int], int]:
    """Return channels C, the map's (H, W) and the embedding's D for images of size x size.

    Raises:
        ParamsError: the image is too small for the backbone.
    """
    parts = nn.ModuleList(backbone).eval()
    try:
        with torch.no_grad():
            p_BCHW = backbone.features(torch.zeros(1, 3, size, size))
            embedding_BD = backbone.neck(backbone.pool(p_BCHW))
    except RuntimeError:
        raise ParamsError(f"preprocess.size {size} is too small for this backbone") from None
    finally:
        parts.train()
    _, channels, height, width = p_BCHW.shape
    return channels, (height, width), embedding_BD.shape[1]
