"""A model bundle: the folder that a trained model is kept in, and the only form in which models are exchanged.

    bundle.json          all that is needed to use the rest, and the SHA-256 of each other file
    model.safetensors    the weights up to the embedding, float32 or float16
    head.safetensors     the last layer: `formats.head`
    model.onnx           the runtime form, with which no torch is needed to annotate: `runtime_form`
    card                 Markdown, for people: what it is, what it learnt from, how good it is

No pickle is ever loaded. A bundle is equal, byte for byte, for equal training, so it carries no date. Bundles of
version 2 (two files; all weights in `model.safetensors`) are read.
"""

import copy
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from aaam_pipeline.core.artifacts import file_sha256, fingerprint, publish, work_folder, write_bytes, write_checksummed
from aaam_pipeline.core.errors import DeviceError, IntegrityError
from aaam_pipeline.formats.familiarity import FAMILIARITY, Familiarity, write_familiarity
from aaam_pipeline.formats.head import LinearHead, write_head
from aaam_pipeline.formats.model_ids import model_id_of
from aaam_pipeline.models.card import CARD, write_card
from aaam_pipeline.models.info import (
    FORMAT,
    HEAD,
    VERSION,
    WEIGHTS,
    BundleInfo,
    RuntimeForm,
    checked_file,
    read_info,
)
from aaam_pipeline.models.network import Network

log = logging.getLogger(__name__)

__all__ = ["FORMAT", "VERSION", "Bundle", "BundleInfo", "choose_device", "load", "read_info", "save"]

CLASSIFIER = "classifier."
# writes the runtime form of a network on a CPU into a folder
MakeForm = Callable[[Network, BundleInfo, Path], RuntimeForm]


class Bundle(NamedTuple):
    """A loaded bundle: the network in evaluation mode on its device, and what belongs to it."""

    network: Network
    info: BundleInfo
    folder: Path


def save(
    network: Network,
    info: BundleInfo,
    folder: Path,
    make_form: MakeForm | None = None,
    familiarity: Familiarity | None = None,
    *,
    stored: Literal["float32", "float16"] = "float32",
    card: str | None = None,
) -> BundleInfo:
    """Write a bundle in place of `folder`, atomically; hashes and ids of the info are filled in here.

    `make_form`: None: it has no runtime form. `familiarity`: None: it cannot tell unfamiliar pictures. `stored`:
    float16 halves the file; the runtime form is of the weights as they are stored. `card`: None: one is made of what
    the info says.
    """
    work = work_folder(folder)
    try:
        whole = copy.deepcopy(network).cpu().float().eval()
        if stored == "float16":
            whole.half().float()
        kind = getattr(torch, stored)
        state = {name: tensor.detach().contiguous() for name, tensor in whole.state_dict().items()}
        head = LinearHead(
            state.pop(f"{CLASSIFIER}weight").numpy(),
            state.pop(f"{CLASSIFIER}bias").numpy(),
            info.calibration,
            info.thresholds,
        )
        weights = {name: tensor.to(kind) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
        save_file(weights, work / WEIGHTS, metadata={"format": "pt"})
        write_head(work / HEAD, head, stored)
        if familiarity:
            write_familiarity(work / FAMILIARITY, familiarity)
        info = msgspec.structs.replace(info, format=FORMAT, version=VERSION, weights_sha256="", runtime=None)
        info = _identified(info, file_sha256(work / WEIGHTS), head)
        if make_form:
            info = msgspec.structs.replace(info, runtime=make_form(whole, info, work))
        write_bytes(work / CARD, (write_card(info) if card is None else card).encode())
        for file in work.iterdir():
            # safetensors lets nobody but the owner read
            shutil.copymode(work / CARD, file)
        files = {file.name: file_sha256(file) for file in sorted(work.iterdir())}
        info = write_checksummed(work / "bundle.json", msgspec.structs.replace(info, files=files))
        publish(work, folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return info


def _identified(info: BundleInfo, weights_sha256: str, head: LinearHead) -> BundleInfo:
    model = info.architecture
    embedding = [
        weights_sha256,
        msgspec.to_builtins(info.preprocess),
        model.backbone,
        msgspec.to_builtins(model.attention),
    ]
    embedding_id, head_id = fingerprint(embedding)[:8], head.digest(info.vocabulary)
    return msgspec.structs.replace(
        info,
        embedding_id=embedding_id,
        head_id=head_id,
        model_id=model_id_of(info.name, embedding_id, head_id),
    )


def load(folder: Path, device: torch.device) -> Bundle:
    """Load a bundle for use.

    Raises:
        UsageError, IntegrityError: as `read_info`; also when the weights are not those the bundle was saved with.
    """
    info = read_info(folder)
    untrained = msgspec.structs.replace(info.architecture, weights="none")
    network = Network(untrained, len(info.vocabulary), info.preprocess.size)
    try:
        network.load_state_dict(_state(folder, info), strict=True)
    except (RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[-1]
        raise IntegrityError(f"{folder / WEIGHTS} does not fit {folder}/bundle.json: {reason}") from None
    return Bundle(network.to(device).to(memory_format=torch.channels_last).eval(), info, folder)


def _state(folder: Path, info: BundleInfo) -> Mapping[str, torch.Tensor]:
    state = load_file(checked_file(folder, info, WEIGHTS))
    if info.version > 2:
        head = load_file(checked_file(folder, info, HEAD))
        state |= {f"{CLASSIFIER}{name}": tensor for name, tensor in head.items()}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


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
