"""A model bundle: the folder that a trained model is kept in, and the only form in which models are exchanged.

`model.safetensors` holds the weights, `bundle.json` all that is needed to use them. No pickle is ever loaded. A bundle
is equal, byte for byte, for equal training, so it carries no date.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from aaam_pipeline.core.artifacts import file_sha256, publish, work_folder, write_checksummed
from aaam_pipeline.core.errors import DeviceError, IntegrityError
from aaam_pipeline.models.info import FORMAT, VERSION, BundleInfo, read_info
from aaam_pipeline.models.network import Network

log = logging.getLogger(__name__)

__all__ = ["FORMAT", "VERSION", "Bundle", "BundleInfo", "choose_device", "load", "read_info", "save"]


class Bundle(NamedTuple):
    """A loaded bundle: the network in evaluation mode on its device, and what belongs to it."""

    network: Network
    info: BundleInfo
    folder: Path


def save(network: Network, info: BundleInfo, folder: Path) -> BundleInfo:
    """Write a bundle in place of `folder`, atomically; the info's hash and model id are filled in here."""
    work = work_folder(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, work / "model.safetensors", metadata={"format": "pt"})
    digest = file_sha256(work / "model.safetensors")
    info = msgspec.structs.replace(
        info,
        weights_sha256=digest,
        model_id=f"{info.dataset}-{info.phase}-{digest[:12]}",
        format=FORMAT,
        version=VERSION,
    )
    info = write_checksummed(work / "bundle.json", info)
    publish(work, folder)
    return info


def load(folder: Path, device: torch.device) -> Bundle:
    """Load a bundle for use.

    Raises:
        UsageError, IntegrityError: as `read_info`; also when the weights are not those the bundle was saved with.
    """
    info = read_info(folder)
    weights = folder / "model.safetensors"
    if not weights.is_file() or file_sha256(weights) != info.weights_sha256:
        raise IntegrityError(f"{weights} is missing or damaged: not the weights that {folder}/bundle.json names")
    untrained = msgspec.structs.replace(info.architecture, weights="none")
    network = Network(untrained, len(info.vocabulary), info.preprocess.size)
    try:
        network.load_state_dict(load_file(weights), strict=True)
    except (RuntimeError, SafetensorError) as error:
        raise IntegrityError(f"{weights} does not fit {folder}/bundle.json: {str(error).splitlines()[-1]}") from None
    return Bundle(network.to(device).to(memory_format=torch.channels_last).eval(), info, folder)


def choose_device(name: str) -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: the name is none of these, or the machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        log.info(
            "device auto: %s", torch.cuda.get_device_name() if name == "cuda" else "cpu, torch finds no GPU to use"
        )
        return torch.device(name)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"no device {name!r}; choose auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise DeviceError(
                f"--device {name}: torch finds {count or 'no'} CUDA device(s) here; use --device cpu or auto"
            )
    elif device.type != "cpu":
        raise DeviceError(f"no device {name!r}; choose auto, cpu, cuda or cuda:N")
    return device
