"""How a model of timm is taken apart into features, pool and neck.

Shapes: B batch, C channels, H x W feature map, T tokens, S image side, D embedding.

A timm model is `forward_features`, then `forward_head`. What the first gives becomes a map (B, C, H, W): a CNN's as it
is, Swin's (B, H, W, C) turned, a ViT's tokens (B, T, C) laid out on the grid of patches, without the class token and
other prefix tokens. So a ViT's embedding is the mean of its patches, or what its authors pool them with.

Which children of a model belong to which half is observed in one forward pass, not known. Most models run the children
of the first half in order; where that is so, which is checked, they become a `nn.Sequential` of the stem and the
stages, as timm groups them for layer-wise learning rates, and its first layers can be frozen.
"""

import copy
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from math import isqrt
from typing import Any, Literal

import torch
from torch import Tensor, nn

from aaam_pipeline.core.errors import ParamsError
from aaam_pipeline.models.backbones.base import Backbone

Layout = Literal["map", "channels last", "tokens"]
log = logging.getLogger(__name__)


class ToMap(nn.Module):
    """Turn what `forward_features` gives into a map (B, C, H, W)."""

    def __init__(self, layout: Layout, prefix: int = 0, grid: tuple[int, int] = (0, 0)) -> None:
        """`prefix`: how many tokens stand before those of the `grid` (H, W) of patches."""
        super().__init__()
        self.layout, self.prefix, self.grid = layout, prefix, grid

    def forward(self, found: Tensor) -> Tensor:
        """Return the map."""
        if self.layout == "tokens":
            return found[:, self.prefix :].transpose(1, 2).reshape(found.shape[0], -1, *self.grid)
        return found.permute(0, 3, 1, 2) if self.layout == "channels last" else found


class WholeFeatures(nn.Module):
    """The first half of a model that does not run its children in order."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, images_B3SS: Tensor) -> Tensor:
        """Return what the model's `forward_features` gives."""
        found: Tensor = self.part.forward_features(images_B3SS)  # type: ignore[operator]
        return found


class TimmNeck(nn.Module):
    """The second half of a model, pooling included, without its classifier."""

    def __init__(self, part: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.part, self.layout = part, layout

    def forward(self, p_BCHW: Tensor) -> Tensor:
        """Return the embedding (B, D)."""
        found = p_BCHW
        if self.layout == "tokens":
            found = p_BCHW.flatten(2).transpose(1, 2)
        elif self.layout == "channels last":
            found = p_BCHW.permute(0, 2, 3, 1)
        embedding: Tensor = self.part.forward_head(found, pre_logits=True)  # type: ignore[operator]
        return embedding.flatten(1)


def take_apart(name: str, model: nn.Module, size: int) -> Backbone:
    """Split a model without classifier after its feature map; its batch norm and padding become torch's own.

    Raises:
        ParamsError: it takes no pictures of `size`, or gives no feature map.
    """
    _use_plain_norms(model.eval())
    images_B3SS = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    padded: dict[nn.Module, tuple[int, int]] = {}
    hooks = [each.register_forward_pre_hook(partial(_note_size, padded)) for each in model.modules() if _is_same(each)]
    try:
        with torch.no_grad(), _calls(model) as first:
            found = model.forward_features(images_B3SS)  # type: ignore[operator]
        with torch.no_grad(), _calls(model) as second:
            model.forward_head(found, pre_logits=True)  # type: ignore[operator]
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ParamsError(f"preprocess.size {size} does not suit {name}: {first_line(error)}") from None
    finally:
        for hook in hooks:
            hook.remove()
    _pad_for_good(model, padded)
    children = dict(model.named_children())
    late = [
        each for each in children if each not in first and (each in second or not list(children[each].parameters()))
    ]
    head = _part(model, late, own=False)
    to_map = _to_map(name, model, found)
    if to_map.layout == "tokens":
        head.num_prefix_tokens = 0  # type: ignore[assignment]
        if getattr(head, "global_pool", "") == "token":
            head.global_pool = "avg"  # type: ignore[assignment]
    # with what is looked at and not called
    early = _part(model, [each for each in children if each in first or each not in second], own=True)
    features = _chain(early, list(first), images_B3SS, found) or nn.Sequential(WholeFeatures(early))
    if to_map.layout != "map":
        features.append(to_map)
    return Backbone(features.train(), nn.Identity(), TimmNeck(head, to_map.layout).train())


@contextmanager
def _calls(model: nn.Module) -> Iterator[dict[str, None]]:
    """Note, while the block runs, which children are called or hold what is called, by their first call."""
    names: dict[str, None] = {}
    hooks = [
        each.register_forward_pre_hook(partial(_note_name, names, name.partition(".")[0]))
        for name, each in model.named_modules()
        if name
    ]
    try:
        yield names
    finally:
        for hook in hooks:
            hook.remove()


def _note_name(names: dict[str, None], name: str, *_: object) -> None:
    names.setdefault(name)


def _note_size(padded: dict[nn.Module, tuple[int, int]], module: nn.Module, inputs: tuple[Tensor]) -> None:
    padded[module] = (inputs[0].shape[2], inputs[0].shape[3])


def _is_same(module: nn.Module) -> bool:
    return type(module).__name__ == "Conv2dSame"


def _use_plain_norms(module: nn.Module) -> None:
    """Replace timm's batch norm with activation by torch's and the activation: DDP and folding know only torch's."""
    from timm.layers.norm_act import BatchNormAct2d

    for name, child in module.named_children():
        if type(child) is BatchNormAct2d:
            norm = nn.BatchNorm2d(child.num_features, child.eps, child.momentum, child.affine)
            norm.load_state_dict(child.state_dict())
            setattr(module, name, nn.Sequential(norm.train(child.training), child.drop, child.act))
        else:
            _use_plain_norms(child)


def _pad_for_good(module: nn.Module, padded: dict[nn.Module, tuple[int, int]]) -> None:
    """Give TensorFlow's convolutions, which pad by their input's size, the padding of the one size they will see."""
    from timm.layers.padding import pad_same_arg

    for name, child in module.named_children():
        if child not in padded:
            _pad_for_good(child, padded)
            continue
        assert isinstance(child, nn.Conv2d)
        plain = nn.Conv2d(
            child.in_channels, child.out_channels, child.kernel_size, child.stride,  # type: ignore[arg-type]
            dilation=child.dilation, groups=child.groups, bias=child.bias is not None,  # type: ignore[arg-type]
        )  # fmt: skip
        plain.load_state_dict(child.state_dict())
        left, right, top, bottom = pad_same_arg(
            list(padded[child]), list(child.kernel_size), list(child.stride), list(child.dilation)
        )
        setattr(module, name, nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), plain))


def _part(model: nn.Module, children: Iterable[str], own: bool) -> nn.Module:
    """Return a model that shares the named children, and with `own` also the parameters that are in no child."""
    part = copy.copy(model)
    part._modules = {name: child for name, child in model._modules.items() if name in children or child is None}
    if not own:
        part._parameters, part._buffers = {}, {}
    return part


def _to_map(name: str, model: nn.Module, found: Any) -> ToMap:
    """Return what turns the output of `forward_features` into a map."""
    channels = model.num_features
    if isinstance(found, Tensor) and found.ndim == 4 and channels in (found.shape[1], found.shape[3]):
        turned = getattr(model, "output_fmt", "") == "NHWC" or found.shape[1] != channels
        return ToMap("channels last" if turned else "map")
    if isinstance(found, Tensor) and found.ndim == 3:
        prefix = int(getattr(model, "num_prefix_tokens", 0))
        side = isqrt(found.shape[1] - prefix)
        height, width = getattr(getattr(model, "patch_embed", None), "grid_size", None) or (side, side)
        if height * width == found.shape[1] - prefix:
            return ToMap("tokens", prefix, (height, width))
    raise ParamsError(f"{name} has no feature map that AAAM could use: take another backbone")


def _chain(model: nn.Module, names: list[str], images_B3SS: Tensor, expected: Tensor) -> nn.Sequential | None:
    """Return the first half as a sequence of the stem and the stages, if that computes the same.

    Where what comes before the stages is more than children in order, all of that is the first layer.
    """
    children = [(name, model.get_submodule(name)) for name in names]
    first = next((at for at, (_, child) in enumerate(children) if type(child) is nn.Sequential and len(child) > 1), 0)
    stem = _part(model, [name for name, _ in model.named_children()], own=True)
    for name, _ in children[first:]:
        setattr(stem, name, nn.Identity())
    for items in (children, [("", WholeFeatures(stem)), *children[first:]]):
        chain = nn.Sequential(*_stages(model, items))
        try:
            with torch.no_grad():
                if torch.allclose(chain(images_B3SS), expected, atol=1e-5):
                    return chain
        except Exception as error:
            # whatever a module says to an input that is not meant for it
            log.debug("children in order: %r", error)
    return None


def _stages(model: nn.Module, items: Iterable[tuple[str, nn.Module]]) -> list[nn.Module]:
    """Return the layers in order, with those in one that timm groups as one stage; what has no weights goes before."""
    from timm.models import group_parameters

    groups: dict[str, int] = {}
    if hasattr(model, "group_matcher"):
        groups = group_parameters(model, model.group_matcher(coarse=True), reverse=True)  # type: ignore[operator]
    layers: list[list[nn.Module]] = []
    last: int | None = None
    for name, module in _flat(items):
        own = next((group for parameter, group in groups.items() if name and parameter.startswith(f"{name}.")), None)
        if not layers or (own is not None and last is not None and own != last) or (own is None and not groups):
            layers.append([])
        layers[-1].append(module)
        last = own if own is not None else last
        if not name:
            last = -1
    return [layer[0] if len(layer) == 1 else nn.Sequential(*layer) for layer in layers]


def _flat(items: Iterable[tuple[str, nn.Module]]) -> Iterable[tuple[str, nn.Module]]:
    for name, module in items:
        if type(module) is nn.Sequential:
            yield from ((f"{name}.{child_name}", child) for child_name, child in module.named_children())
        else:
            yield name, module


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its name."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
