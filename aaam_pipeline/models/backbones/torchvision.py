"""Any torchvision classification CNN by name, and `vgg_small`, which has the form of torchvision's.

Such a CNN runs its children in order: `features -> avgpool -> classifier`, or the like. `features` ends in the last
feature map, the neck is what its authors put between pooling and the 1,000 ImageNet outputs (VGG16: fc6, ReLU, dropout,
fc7, ReLU, dropout).
"""

from pathlib import Path

from torch import nn

from aaam_pipeline.core.errors import ParamsError, UsageError
from aaam_pipeline.models.backbones.base import Backbone, load_weights
from aaam_pipeline.models.backbones.vgg_small import SmallVgg

# children of a torchvision model at which the feature map ends
HEADS = ("avgpool", "classifier", "fc")
TRANSFORMERS = ("maxvit", "swin", "vit")


def load(name: str, weights: str, dropout: float) -> Backbone:
    """Make the backbone; see `backbones.load`."""
    model = build(name, weights)
    if weights not in ("imagenet", "none"):
        load_weights(model, Path(weights), name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    return take_apart(name, model)


def build(name: str, weights: str) -> nn.Module:
    """Return the whole model, with ImageNet weights where those are asked for.

    Raises:
        ParamsError: there is no such backbone, or no ImageNet weights for it.
        UsageError: the download failed.
    """
    if name == "vgg_small":
        if weights == "imagenet":
            raise ParamsError("vgg_small has no ImageNet weights; use weights: none, or a torchvision backbone")
        return SmallVgg()
    # a second to import, which annotating with vgg_small or an exported model can spare
    import torchvision

    every = torchvision.models.list_models(module=torchvision.models)
    known = [each for each in every if not each.startswith(TRANSFORMERS)]
    if name in every and name not in known:
        raise ParamsError(
            f"{name} of torchvision is a transformer, without the feature map that AAAM needs; use a CNN such as "
            "vgg16, or a transformer of timm's (timm/vit_small_patch16_224)"
        )
    if name not in known:
        raise ParamsError(f"no backbone {name!r}; vgg_small, timm/NAME or one of torchvision's: {', '.join(known)}")
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


def take_apart(name: str, model: nn.Module) -> Backbone:
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
