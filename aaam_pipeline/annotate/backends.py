"""Ways to run a model behind one interface: torch on a CPU or a GPU, OpenVINO on a CPU. Which one is chosen, and when.

`torch` (fp32), OpenVINO fp32 and a GPU's fp32 give scores equal within 0.005, so their annotations may be mixed: they
are marked with the same model id. bf16 and int8 change a score by up to 0.3 and carry a model id of their own; they
are used only where someone asked for them, by exporting the model or by naming `torch-bf16`.

`auto` takes torch on a GPU where there is one; else OpenVINO, with the fastest export of the very same weights that
lies beside the bundle (int8, bf16, fp32) or else the bundle itself in fp32, which torch reads.

Neither torch nor OpenVINO is imported before a backend is made of it. Shapes: D embedding.
"""

import ctypes
import logging
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.annotate import inputs
from aaam_pipeline.annotate.options import BackendName
from aaam_pipeline.annotate.reader import read
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import DeviceError, ImageError, UsageError
from aaam_pipeline.core.extras import installed, need
from aaam_pipeline.models.export import manifest
from aaam_pipeline.models.inference import Backend, ModelOutput, Notify, Precision
from aaam_pipeline.models.info import BundleInfo, read_info

log = logging.getLogger(__name__)

__all__ = ["Backend", "BackendName", "Embedder", "ModelOutput", "create", "model_info"]


class Choice(NamedTuple):
    """What is to be loaded: `folder` is a bundle, or for OpenVINO perhaps an export; `info` as annotations have it.

    `on_gpu`: what is to be loaded instead where torch can use a GPU.
    """

    runtime: Literal["torch", "openvino"]
    folder: Path
    precision: Precision
    info: BundleInfo
    on_gpu: "Choice | None" = None


def create(name: BackendName, folder: Path, device: str, notify: Notify = lambda text: None) -> Backend:
    """Load the bundle or export `folder` for use; `notify` gets what a person should know (memory ran short).

    Raises:
        UsageError: `folder` is no model; the backend is not installed, or cannot do what is asked.
        DeviceError: the device is not there.
        IntegrityError: the model is damaged.
    """
    # read by OpenMP when torch is loaded: threads that wait for each other must not take the cores from decoding
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    chosen = choose(name, folder, device)
    if chosen.on_gpu and has_gpu():
        chosen = chosen.on_gpu
    log.info("backend %r on %r: %s %s from %s", name, device, chosen.runtime, chosen.precision, chosen.folder)
    if chosen.runtime == "openvino":
        return _load_openvino(chosen.folder, chosen.info)
    need("train", "torch")
    from aaam_pipeline.models import bundle
    from aaam_pipeline.models.inference.torch_backend import InferenceModule, TorchBackend

    loaded = bundle.load(chosen.folder, bundle.choose_device(device))
    return TorchBackend(InferenceModule(loaded.network, loaded.info.preprocess), chosen.info, chosen.precision, notify)


def model_info(name: BackendName, folder: Path, device: str) -> BundleInfo:
    """Return the info that `create` would give the backend, in milliseconds: nothing is loaded.

    Only where an export of another precision lies beside the bundle, and this machine has a GPU's driver, and the
    device is `auto`, torch is asked whether it can use the GPU.

    Raises:
        UsageError, IntegrityError: as `create`, as far as it can be known without loading the model.
    """
    chosen = choose(name, folder, device)
    if chosen.on_gpu and chosen.on_gpu.info.model_id != chosen.info.model_id and has_gpu():
        return chosen.on_gpu.info
    return chosen.info


class Embedder:
    """Embeds single photographs with the model of an index; it is loaded for the first of them."""

    def __init__(self, model: Path, device: str, model_id: str | None = None) -> None:
        """`model_id`: the id that is wanted, where the model can be run with more than one (`...-int8`)."""
        self._model, self._device, self._model_id = model, device, model_id

    def __call__(self, photo: Path) -> tuple[str, NDArray[np.float32]]:
        """Return the model's id and the embedding (D,) of a photograph.

        Raises:
            UsageError: it is no picture.
            ImageError: it is one, and cannot be decoded.
        """
        photo = photo.absolute()
        made = self._backend.info.preprocess
        image = read(inputs.local_item(photo, photo.parent), made.size, interpolation=made.interpolation)
        if isinstance(image.picture, ImageError):
            if image.picture.kind == "not_an_image":
                raise UsageError(f"{path_text(photo)}: {image.picture}")
            raise ImageError(image.picture.kind, f"{path_text(photo)}: {image.picture}")
        predicted = self._backend.start(image.picture.pixels_SS3[None])()
        return self._backend.info.model_id, predicted.embedding_BD[0]

    @cached_property
    def _backend(self) -> Backend:
        # torch first: for one image, converting a bundle for OpenVINO takes longer than it saves
        names: tuple[BackendName, ...] = ("torch", "auto", "torch-bf16")
        if manifest.is_export(self._model) or not installed("torch"):
            names = ("auto",)
        for name in names:
            if model_info(name, self._model, self._device).model_id == self._model_id:
                return create(name, self._model, self._device)
        return create(names[0], self._model, self._device)


def _load_openvino(folder: Path, info: BundleInfo) -> Backend:
    from aaam_pipeline.models.inference.openvino_backend import OpenVinoBackend

    if manifest.is_export(folder):
        found = manifest.read_exported(folder)
        manifest.check_files(folder, found)
        return manifest.load_export(folder, found, info)
    # only a bundle needs torch: an export is ready in half a second
    need("train", "torch")
    import torch

    from aaam_pipeline.models import bundle
    from aaam_pipeline.models.export import convert

    loaded = bundle.load(folder, torch.device("cpu"))
    model = convert.to_openvino(loaded.network, loaded.info.preprocess)
    return OpenVinoBackend(model, info, loaded.network.embedding_dim, "fp32")


def choose(name: BackendName, folder: Path, device: str) -> Choice:
    """Decide by the rules of the module's docstring, without asking whether there is a GPU.

    Raises:
        UsageError: the folder is no model, or what is asked for does not go together.
        IntegrityError: `bundle.json` or `export.json` is damaged.
    """
    if manifest.is_export(folder):
        found = manifest.read_exported(folder)
        if name.startswith("torch"):
            raise UsageError(
                f"{folder} is a model exported for {found.runtime}: name the bundle it was made of instead"
            )
        _check_openvino(device)
        return Choice("openvino", folder, found.precision, found.info)
    info = read_info(folder)
    if name == "torch-bf16":
        return Choice("torch", folder, "bf16", manifest.marked(info, "bf16"))
    with_torch = Choice("torch", folder, "fp32", info)
    if name == "torch" or (name == "auto" and device.startswith("cuda")):
        return with_torch
    _check_openvino(device)
    on_gpu = with_torch if (name, device) == ("auto", "auto") else None
    fastest = manifest.fastest_beside(folder, info)
    if fastest is None:
        return Choice("openvino", folder, "fp32", info, on_gpu)
    precision = manifest.read_exported(fastest).precision
    # the bundle's thresholds and calibration may be newer than the export
    return Choice("openvino", fastest, precision, manifest.marked(info, precision), on_gpu)


def _check_openvino(device: str) -> None:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise DeviceError(f"no device {device!r}; choose auto, cpu, cuda or cuda:N")
    if device not in ("auto", "cpu"):
        raise UsageError(f"OpenVINO and exported models run on the CPU, not on {device}: use --device cpu, or torch")


def has_gpu() -> bool:
    """Return whether torch would use a GPU; torch is imported only where there is a driver."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    if not installed("torch"):
        return False
    import torch

    return torch.cuda.is_available()
