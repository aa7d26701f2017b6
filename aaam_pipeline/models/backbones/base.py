"""What every backbone is taken apart into, and how weights are read from a file."""

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from aaam_pipeline.core.errors import IntegrityError, ParamsError, UsageError


class Backbone(NamedTuple):
    """The parts of a network: images (B, 3, S, S) -> features (B, C, H, W) -> pool -> neck (B, D).

    `features`: a `nn.Sequential` where its first layers can be frozen.
    """

    features: nn.Module
    pool: nn.Module
    neck: nn.Module


def read_weights(path: Path, name: str) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file, for the backbone `name`.

    Raises:
        UsageError: there is no such file.
        IntegrityError: it is no .safetensors file, or damaged.
    """
    if not path.is_file():
        raise UsageError(f"no weights file {path}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise misfit(path, name, error) from None


def load_weights(model: nn.Module, path: Path, name: str) -> None:
    """Load a .safetensors file that holds exactly the model's tensors; float16 becomes what the model has.

    Raises:
        UsageError, IntegrityError: as `read_weights`; also where the tensors are not the model's.
    """
    weights = read_weights(path, name)
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise misfit(path, name, error) from None


def misfit(path: Path, name: str, error: Exception) -> IntegrityError:
    """Return the error for a file whose weights cannot be those of the backbone `name`."""
    reason = str(error).splitlines()[-1].strip()
    return IntegrityError(f"{path} does not hold the weights of {name}: {reason}")


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
