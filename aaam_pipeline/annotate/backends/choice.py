"""Which runtime, files and precision are meant by a backend's name, a folder and a device. Loads neither runtime."""

import ctypes
import re
from pathlib import Path
from typing import Literal, NamedTuple

from aaam_pipeline.annotate.options import BackendName
from aaam_pipeline.core.errors import DeviceError, UsageError
from aaam_pipeline.models.export import manifest as exported
from aaam_pipeline.models.export.manifest import ExportInfo
from aaam_pipeline.models.inference.runtimes import Precision, installed, need
from aaam_pipeline.models.info import BundleInfo, read_info


class Choice(NamedTuple):
    """What is to be loaded: `folder` is a bundle, or for OpenVINO perhaps an export; `info` as annotations have it.

    `on_gpu`: what is to be loaded instead where torch can use a GPU.
    """

    runtime: Literal["torch", "openvino"]
    folder: Path
    precision: Precision
    info: BundleInfo
    on_gpu: "Choice | None" = None


def choose(name: BackendName, folder: Path, device: str) -> Choice:
    """Decide by the rules of the package's docstring, without asking whether there is a GPU.

    Raises:
        UsageError: the folder is no model, or what is asked for does not go together.
        IntegrityError: `bundle.json` or `export.json` is damaged.
    """
    if exported.is_export(folder):
        return _of_export(name, folder, device)
    info = read_info(folder)
    if name == "torch-bf16":
        return Choice("torch", folder, "bf16", exported.marked(info, "bf16"))
    with_torch = Choice("torch", folder, "fp32", info)
    if name == "torch" or (name == "auto" and (device.startswith("cuda") or not installed("openvino"))):
        return with_torch
    _check_openvino(device)
    on_gpu = with_torch if (name, device) == ("auto", "auto") else None
    fastest = exported.fastest_beside(folder, info)
    if fastest is None:
        return Choice("openvino", folder, "fp32", info, on_gpu)
    precision = exported.read_exported(fastest).precision
    # the bundle's thresholds and calibration may be newer than the export
    return Choice("openvino", fastest, precision, exported.marked(info, precision), on_gpu)


def _of_export(name: BackendName, folder: Path, device: str) -> Choice:
    found: ExportInfo = exported.read_exported(folder)
    if name.startswith("torch"):
        raise UsageError(f"{folder} is a model exported for {found.runtime}: name the bundle it was made of instead")
    _check_openvino(device)
    return Choice("openvino", folder, found.precision, found.info)


def _check_openvino(device: str) -> None:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise DeviceError(f"no device {device!r}; choose auto, cpu, cuda or cuda:N")
    if device not in ("auto", "cpu"):
        raise UsageError(f"OpenVINO and exported models run on the CPU, not on {device}: use --device cpu, or torch")
    need("openvino", "openvino")


def has_gpu() -> bool:
    """Return whether torch would use a GPU; torch is imported only where there is a driver."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    import torch

    return torch.cuda.is_available()
