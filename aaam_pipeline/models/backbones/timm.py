"""Any backbone of timm (Wightman 2019, "PyTorch Image Models"): `timm/NAME`, CNNs and vision transformers."""

import logging
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from aaam_pipeline.core.errors import ParamsError, UsageError
from aaam_pipeline.core.extras import need
from aaam_pipeline.models.backbones.base import Backbone, misfit, read_weights
from aaam_pipeline.models.backbones.timm_parts import first_line, take_apart

PREFIX = "timm/"


def configuration(name: str) -> dict[str, Any]:
    """Return the `preprocess` that the backbone `timm/...` was trained with: size, mean, std, interpolation.

    Raises:
        ParamsError: timm has no such backbone.
    """
    timm = _timm()
    found = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(_known(name)).to_dict())
    return {
        "size": found["input_size"][-1],
        "mean": found["mean"],
        "std": found["std"],
        "interpolation": "bilinear" if found["interpolation"] == "bilinear" else "bicubic",
    }


def load(name: str, weights: str, dropout: float, size: int) -> Backbone:
    """Make the backbone; see `backbones.load`."""
    model = _build(name, weights, dropout, size)
    model.reset_classifier(0)  # type: ignore[operator]
    return take_apart(name, model, size)


def _timm() -> Any:
    # its downloads would count themselves
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    need("train", "timm")
    import timm

    # it would print each of its tries, without a network a dozen; what comes of them is one line
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return timm


def _known(name: str) -> str:
    """Return timm's own name for `timm/...`, if timm has such a model, with such a tag where one is named."""
    timm, wanted = _timm(), name.removeprefix(PREFIX)
    architecture, _, tag = wanted.partition(".")
    if ":" in wanted or not timm.is_model(architecture):
        close = get_close_matches(architecture, timm.list_models(), n=3)
        meant = f"; did you mean {', '.join(PREFIX + each for each in close)}?" if close else " in timm"
        raise ParamsError(f"no backbone {name!r}{meant}")
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise ParamsError(f"no weights {tag!r} of {PREFIX}{architecture}; known: {', '.join(tags) or 'none'}")
    return wanted


def _build(name: str, weights: str, dropout: float, size: int) -> nn.Module:
    timm, known = _timm(), _known(name)
    options: dict[str, Any] = {"drop_rate": dropout}
    if timm.get_pretrained_cfg(known).fixed_input_size:
        options["img_size"] = size
    if weights not in ("none", "imagenet"):
        # timm's own loading: it knows of older names, and resamples position embeddings to the size
        options["pretrained_cfg_overlay"] = {"state_dict": read_weights(Path(weights), name)}
    try:
        model: nn.Module = timm.create_model(known, pretrained=weights != "none", **options)
    except (AssertionError, ValueError, TypeError) as error:
        raise ParamsError(f"{name} cannot be made for preprocess.size {size}: {first_line(error)}") from None
    except (OSError, RuntimeError) as error:
        if weights == "none":
            raise ParamsError(f"{name} cannot be made: {first_line(error)}") from None
        if weights == "imagenet":
            raise UsageError(
                f"cannot download weights for {name}: {first_line(error)}; set model.weights to a .safetensors file"
            ) from None
        raise misfit(Path(weights), name, error) from None
    return model
