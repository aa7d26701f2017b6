"""Ways to run a model behind one interface: its runtime form, or torch on a CPU or a GPU. Which is chosen, and when.

fp32 in torch, on a GPU and in the runtime form give scores equal within 0.005, so their annotations may be mixed: they
are marked with the same model id. int8 and bf16 compute another embedding and carry an id of their own.

`auto` takes torch on a GPU where there is one; else the runtime form of the bundle (OpenVINO, in the precision that the
bundle has); else torch. So torch is needed only on a GPU and for bundles without a runtime form.

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
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.models.inference import Backend, ModelOutput, Notify
from aaam_pipeline.models.info import BundleInfo, Precision, read_info

log = logging.getLogger(__name__)

__all__ = ["Backend", "BackendName", "Embedder", "ModelOutput", "create", "model_info"]


class Choice(NamedTuple):
    """What is to be loaded of the bundle `folder`; `info` as annotations have it.

    `on_gpu`: what is to be loaded instead where torch can use a GPU.
    """

    runtime: Literal["torch", "openvino"]
    folder: Path
    precision: Precision
    info: BundleInfo
    on_gpu: "Choice | None" = None


def create(name: BackendName, folder: Path, device: str, notify: Notify = lambda text: None) -> Backend:
    """Load the bundle `folder` for use; `notify` gets what a person should know (memory ran short).

    Raises:
        UsageError: `folder` is no bundle; the backend is not installed, or cannot do what is asked.
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
        from aaam_pipeline.models.inference.openvino_backend import load_form

        return load_form(chosen.folder, read_info(chosen.folder))
    from aaam_pipeline.models import bundle
    from aaam_pipeline.models.inference.torch_backend import InferenceModule, TorchBackend

    loaded = bundle.load(chosen.folder, bundle.choose_device(device))
    return TorchBackend(InferenceModule(loaded.network, loaded.info.preprocess), chosen.info, chosen.precision, notify)


def model_info(name: BackendName, folder: Path, device: str) -> BundleInfo:
    """Return the info that `create` would give the backend, in milliseconds: nothing is loaded.

    Only where the runtime form is of another precision than a GPU's, this machine has a GPU's driver, and the device is
    `auto`, torch is asked whether it can use the GPU.

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
        """`model_id`: of the index; where the model gives several embeddings (fp32, int8), its own is computed."""
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
        # the runtime form first: it is there in half a second
        names: tuple[BackendName, ...] = ("auto", "torch", "torch-bf16")
        for name in names:
            found = model_info(name, self._model, self._device).model_id
            if self._model_id and embedding_of(found) == embedding_of(self._model_id):
                return create(name, self._model, self._device)
        return create(names[0], self._model, self._device)


def choose(name: BackendName, folder: Path, device: str) -> Choice:
    """Decide by the rules of the module's docstring, without asking whether there is a GPU.

    Raises:
        UsageError: the folder is no bundle, or what is asked for does not go together, or is not installed.
        IntegrityError: `bundle.json` is damaged.
    """
    info = read_info(folder)
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise DeviceError(f"no device {device!r}; choose auto, cpu, cuda or cuda:N")
    precision: Precision = "bf16" if name == "torch-bf16" else "fp32"
    with_torch = Choice("torch", folder, precision, info.of_precision(precision))
    form = info.runtime
    if name.startswith("torch") or (name == "auto" and (form is None or device.startswith("cuda"))):
        need("train", "torch")
        return with_torch
    if form is None:
        raise UsageError(
            f"{folder} has no runtime form: use --backend torch, or make one with `aaam-pipe model export`"
        )
    if device.startswith("cuda"):
        raise UsageError(f"OpenVINO runs on the CPU, not on {device}: use --device cpu, or --backend torch")
    on_gpu = with_torch if (name, device) == ("auto", "auto") and installed("torch") else None
    return Choice("openvino", folder, form.precision, info.of_precision(form.precision), on_gpu)


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
