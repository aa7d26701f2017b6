"""How fast the model alone is in each backend and precision on this CPU, as a ratio to plain torch in the same run.

The networks are untrained: speed does not depend on what the weights are. VGG16 has the paper's attention (dense
filters), the others the light one (depthwise). All take pictures of 224 px in batches of 32. onnxruntime runs the very
forms that OpenVINO does.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline.models import Network, runtime_form
from aaam_pipeline.models.inference.openvino_backend import OpenVinoBackend, read_form
from aaam_pipeline.models.inference.torch_backend import InferenceModule, TorchBackend
from aaam_pipeline.models.info import BundleInfo
from benchmarks.material import Filters, make_model
from benchmarks.table import Report, best

if TYPE_CHECKING:
    import onnx

# images a measurement takes: about as long for each
IMAGES = {"vgg16": 32, "resnet50": 96, "mobilenet_v2": 256, "timm/tf_efficientnet_lite2": 128}
FILTERS: dict[str, Filters] = {"vgg16": "dense"}
BATCH, SIZE, CALIBRATION = 32, 224, 16
REPEATS = 3
MINUTES = (5.0, 5.0)

Predict = Callable[[NDArray[np.uint8]], object]


def run(report: Report, full: bool = False) -> None:
    """Measure every network; there is one size."""
    plain = {}
    # in a process that is as it started: what a backend sets for its process would help plain torch, too
    for name, images in IMAGES.items():
        plain[name] = _rate(_plain(name), _pixels(images))
        report.info(f"{name}, plain torch: {plain[name]:.1f} images/s")
    names = ["backbone", "plain torch", "torch fp32", "torch bf16", "fp32 form", "int8 but depthwise", "int8 form"]
    names += ["onnxruntime, fp32 form", "onnxruntime, int8 but depthwise"]
    add = report.table("backends, images/s (times plain torch)", names)
    for name, images in IMAGES.items():
        pixels_NSS3 = _pixels(images)
        rates = [plain[name], *(_rate(predict, pixels_NSS3) for predict in _backends(name, pixels_NSS3))]
        add([name, *(f"{rate:.1f} ({rate / plain[name]:.1f})" for rate in rates)])


def _pixels(images: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (images, SIZE, SIZE, 3), dtype=np.uint8)


def _rate(predict: Predict, pixels_NSS3: NDArray[np.uint8]) -> float:
    return len(pixels_NSS3) / best(_all(predict, pixels_NSS3), REPEATS)


def _all(predict: Predict, pixels_NSS3: NDArray[np.uint8]) -> Callable[[], object]:
    predict(pixels_NSS3[:BATCH])
    return lambda: [predict(pixels_NSS3[first : first + BATCH]) for first in range(0, len(pixels_NSS3), BATCH)]


def _model(name: str) -> tuple[Network, BundleInfo]:
    network, info = make_model(name, SIZE, FILTERS.get(name, "depthwise"))
    return network.to(memory_format=torch.channels_last), info


def _plain(name: str) -> Predict:
    network, info = _model(name)
    whole = InferenceModule(network, info.preprocess)
    return torch.inference_mode()(lambda pixels_BSS3: whole(torch.from_numpy(pixels_BSS3)))


def _backends(name: str, pixels_NSS3: NDArray[np.uint8]) -> list[Predict]:
    network, info = _model(name)
    whole, head = InferenceModule(network, info.preprocess), runtime_form.head_of(network, info)
    plain = runtime_form.to_onnx(network, info.preprocess)
    forms = [runtime_form.quantise(plain, pixels_NSS3[:CALIBRATION], in_fp32) for in_fp32 in (("depthwise",), ())]
    models = [_read(form) for form in (plain, *forms)]
    # it has no convolution whose activations have a scale for each channel, as depthwise ones have in the int8 form
    others = [_by_onnxruntime(form) for form in (plain, forms[0])]
    made = [
        TorchBackend(whole, info),
        TorchBackend(whole, info, "bf16"),
        OpenVinoBackend(models[0], info, head, "fp32"),
        OpenVinoBackend(models[1], info, head, "int8"),
        OpenVinoBackend(models[2], info, head, "int8"),
    ]
    ours = [lambda pixels, backend=backend: backend.start(pixels)() for backend in made]
    return [*ours, *others]


def _by_onnxruntime(form: "onnx.ModelProto") -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(form.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda pixels_BSS3: session.run(None, {"pixels": pixels_BSS3})


def _read(form: "onnx.ModelProto") -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(form.SerializeToString())
        return read_form(path)
