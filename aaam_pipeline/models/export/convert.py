"""From a bundle to the files of another runtime: OpenVINO (fp32, bf16, int8) and ONNX (fp32).

Shapes: B batch, S side, L labels, D embedding, N images to calibrate with.

What is exported is the `InferenceModule`: preprocessing, network and sigmoid in one graph.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import file_sha256, write_checksummed
from aaam_pipeline.models.bundle import Bundle
from aaam_pipeline.models.export.manifest import FORMAT, MANIFEST, VERSION, ExportInfo, marked
from aaam_pipeline.models.inference import PACKAGES, Precision, Runtime, load_openvino, need, quiet
from aaam_pipeline.models.inference.torch_backend import InferenceModule
from aaam_pipeline.models.network import Network
from aaam_pipeline.models.preprocess import Preprocess


def to_openvino(network: Network, preprocess: Preprocess) -> Any:
    """Return the whole model as an `openvino.Model` for any batch size."""
    load_openvino()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    with quiet():
        from openvino._offline_transformations import apply_moc_transformations

        # both must outlive `convert`, which reads through them
        decoder = TorchFXPythonDecoder.from_exported_program(_program(network, preprocess))
        loaded = frontend.load(decoder)
        model = frontend.convert(loaded)
        # batch norm goes into the convolutions: quantised apart from them it costs accuracy
        apply_moc_transformations(model, cf=False, smart_reshape=False)
    model.reshape([-1, preprocess.size, preprocess.size, 3])
    return model


def quantise(model: Any, pixels_NSS3: NDArray[np.uint8]) -> Any:
    """Return an OpenVINO model in int8 (NNCF, post-training), its ranges taken from training images.

    Chosen on MobileNetV2 for Corel-5k, by the mean difference of scores: depthwise convolutions stay in fp32 (their
    channels differ too much to share a scale, and they are few multiplications), and biases are corrected layer after
    layer on quantised inputs, not in the quick way.
    """
    need("openvino")
    load_openvino()
    with quiet():
        import nncf

        images = nncf.Dataset([pixels_NSS3[row : row + 1] for row in range(len(pixels_NSS3))])
        return nncf.quantize(
            model,
            images,
            subset_size=len(pixels_NSS3),
            fast_bias_correction=False,
            ignored_scope=nncf.IgnoredScope(types=["GroupConvolution"], validate=False),
        )


def write(
    bundle: Bundle,
    folder: Path,
    runtime: Runtime,
    precision: Precision,
    calibration_NSS3: NDArray[np.uint8] | None = None,
) -> ExportInfo:
    """Write the export's files and its `export.json`, unmeasured, into `folder`.

    `calibration_NSS3`: uint8 pixels of training images, for int8 alone.

    Raises:
        UsageError: the runtime is not installed.
    """
    need(runtime)
    if runtime == "onnx":
        _write_onnx(bundle, folder / "model.onnx")
    else:
        model = to_openvino(bundle.network, bundle.info.preprocess)
        if calibration_NSS3 is not None:
            model = quantise(model, calibration_NSS3)
        # bf16 is what the processor computes in, not what is stored: the weights stay whole
        load_openvino().save_model(model, folder / "model.xml", compress_to_fp16=False)
    exported = ExportInfo(
        format=FORMAT,
        version=VERSION,
        runtime=runtime,
        precision=precision,
        info=marked(bundle.info, precision),
        embedding_dim=bundle.network.embedding_dim,
        files={file.name: file_sha256(file) for file in sorted(folder.glob("model.*"))},
        made_with={package: version(package) for package in ("torch", *PACKAGES[runtime])},
    )
    return write_checksummed(folder / MANIFEST, exported)


def _write_onnx(bundle: Bundle, file: Path) -> None:
    with quiet():
        exported = torch.onnx.export(
            _program(bundle.network, bundle.info.preprocess),
            dynamo=True,
            input_names=["pixels"],
            output_names=["scores", "embedding"],
            verbose=False,
        )
        assert exported is not None
        exported.save(file, external_data=False)


def _program(network: Network, preprocess: Preprocess) -> torch.export.ExportedProgram:
    pixels_BSS3 = torch.zeros((2, preprocess.size, preprocess.size, 3), dtype=torch.uint8)
    with torch.no_grad():
        return torch.export.export(
            InferenceModule(network, preprocess), (pixels_BSS3,), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
