"""From a bundle to the files of another runtime: OpenVINO (fp32, bf16, int8) and ONNX (fp32).

What is exported is the `InferenceModule`: preprocessing, network and sigmoid in one graph. It is measured what that
costs on labelled images, before the export is published.

Shapes: N images, B batch, S side, L labels, D embedding.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import file_sha256, foreign, publish, work_folder, write_checksummed
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError
from aaam_pipeline.core.extras import need
from aaam_pipeline.core.progress import Advance, Reporter
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.models.bundle import Bundle, load
from aaam_pipeline.models.export import manifest
from aaam_pipeline.models.export.manifest import MANIFEST, ExportInfo, Measured
from aaam_pipeline.models.inference import PACKAGES, ModelOutput, Precision, Runtime, load_openvino, quiet
from aaam_pipeline.models.inference.torch_backend import InferenceModule, TorchBackend
from aaam_pipeline.models.network import Network
from aaam_pipeline.models.preprocess import Preprocess

BATCH = 32
# two ways of computing in fp32 that differ by more than this are not the same model
SAME = 0.005

Start = Callable[[NDArray[np.uint8]], Callable[[], ModelOutput]]
# `metrics.evaluate`: (scores_NL, targets_NL, k) -> values by name, of which `map` is read
Evaluate = Callable[[NDArray[np.float32], NDArray[np.int8], int], Mapping[str, float]]


class LabelledImages(NamedTuple):
    """A labelled split to measure on: `pixels_NSS3` uint8, `targets_NL`, and how mAP is computed of its scores."""

    pixels_NSS3: NDArray[np.uint8]
    targets_NL: NDArray[np.int8]
    evaluate: Evaluate
    split: str = "val"


class ExportRequest(NamedTuple):
    """What to export. `max_map_loss`: in points of 100; `calibration_images`: how many int8 is calibrated on."""

    runtime: Runtime
    precision: Precision
    max_map_loss: float = 0.5
    calibration_images: int = 300


def export_bundle(
    model: Path,
    out: Path,
    request: ExportRequest,
    report: Reporter,
    labelled: LabelledImages | None = None,
    training_NSS3: NDArray[np.uint8] | None = None,
) -> ExportInfo:
    """Export the bundle `model` into the folder `out`, replacing an earlier export there; return its `export.json`.

    `labelled`: what to measure on; None: the export is published unmeasured. `training_NSS3`: uint8 pixels, which int8
    needs.

    Raises:
        UsageError: a package or the training images are missing, or `out` holds something else.
        IntegrityError: the scores of an fp32 export are not the model's own.
        AaamError: it loses more than `max_map_loss`; an earlier export stays as it was.
    """
    _check_request(request, out, training_NSS3)
    loaded = load(model, torch.device("cpu"))
    work = work_folder(out)
    try:
        calibration_NSS3 = None
        if request.precision == "int8" and training_NSS3 is not None:
            # spread over the whole split: data sets are often sorted by subject
            count = min(request.calibration_images, len(training_NSS3))
            rows = np.linspace(0, len(training_NSS3) - 1, count).astype(np.int64)
            calibration_NSS3 = np.asarray(training_NSS3[rows])
            report.info(f"quantising to int8 with {count} training images")
        made = write(loaded, work, request.runtime, request.precision, calibration_NSS3)
        if labelled:
            measured = _measure(loaded, work, made, labelled, report)
            made = write_checksummed(work / MANIFEST, msgspec.structs.replace(made, measured=measured))
            _check_losses(made, measured, request.max_map_loss)
        else:
            report.info(
                "no prepared data set: the scores of this export were not compared with the model's; see --data"
            )
        publish(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return made


def _check_request(request: ExportRequest, out: Path, training_NSS3: NDArray[np.uint8] | None) -> None:
    need("train", *PACKAGES[request.runtime])
    if request.runtime == "onnx" and request.precision != "fp32":
        raise UsageError("ONNX exports are fp32: quantise them with the tools of the runtime that will run them")
    if request.precision == "int8" and training_NSS3 is None:
        raise UsageError("int8 is calibrated on training images: name the prepared data set with --data")
    if out.is_dir() and any(out.iterdir()) and (not manifest.is_export(out) or foreign(out, MANIFEST, "model.*")):
        raise UsageError(f"{out} exists and is not an exported model; choose another --out")


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
    need("train", "nncf")
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
    need("train", *PACKAGES[runtime])
    if runtime == "onnx":
        _write_onnx(bundle, folder / "model.onnx")
    else:
        model = to_openvino(bundle.network, bundle.info.preprocess)
        if calibration_NSS3 is not None:
            model = quantise(model, calibration_NSS3)
        # bf16 is what the processor computes in, not what is stored: the weights stay whole
        load_openvino().save_model(model, folder / "model.xml", compress_to_fp16=False)
    exported = ExportInfo(
        format=manifest.FORMAT,
        version=manifest.VERSION,
        runtime=runtime,
        precision=precision,
        info=manifest.marked(bundle.info, precision),
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


def _measure(loaded: Bundle, folder: Path, export: ExportInfo, images: LabelledImages, report: Reporter) -> Measured:
    """Score labelled images with torch fp32 and with the files of the export in `folder`."""
    reference = TorchBackend(InferenceModule(loaded.network, loaded.info.preprocess), loaded.info)
    with report.task(f"measure on {images.split}", 2 * len(images.pixels_NSS3)) as advance:
        torch_NL, torch_rate = _scores(reference.start, images.pixels_NSS3, advance)
        export_NL, export_rate = _scores(_start(folder, export), images.pixels_NSS3, advance)
    # compared as annotations have them
    torch_NL, export_NL = (calibrate(scores_NL, loaded.info.calibration) for scores_NL in (torch_NL, export_NL))
    differences_NL = np.abs(torch_NL - export_NL)
    maps = [images.evaluate(scores_NL, images.targets_NL, loaded.info.k)["map"] for scores_NL in (torch_NL, export_NL)]
    return Measured(
        split=images.split,
        images=len(torch_NL),
        map_torch=maps[0],
        map_export=maps[1],
        rate_torch=torch_rate,
        rate_export=export_rate,
        max_difference=float(differences_NL.max()),
        mean_difference=float(differences_NL.mean()),
    )


def _check_losses(export: ExportInfo, measured: Measured, max_map_loss: float) -> None:
    """Refuse an export whose scores are not the model's own, or that loses more than `max_map_loss`."""
    if export.precision == "fp32" and measured.max_difference > SAME:
        raise IntegrityError(
            f"the export's scores differ by {measured.max_difference:.3f} from the model's own: nothing exported"
        )
    if measured.map_loss > max_map_loss:
        raise AaamError(
            f"{export.precision} loses {measured.map_loss:.2f} points of mAP on {measured.split} "
            f"({100 * measured.map_torch:.2f} to {100 * measured.map_export:.2f}), more than --max-map-loss "
            f"{max_map_loss:g}: nothing exported; allow more, or take another --precision"
        )


def _start(folder: Path, export: ExportInfo) -> Start:
    """Return the `start` of the runtime that the files are for."""
    if export.runtime == "openvino":
        return manifest.load_export(folder, export, export.info).start
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return lambda pixels_BSS3: lambda: ModelOutput(*session.run(None, {"pixels": np.asarray(pixels_BSS3)}))


def _scores(start: Start, pixels_NSS3: NDArray[np.uint8], advance: Advance) -> tuple[NDArray[np.float32], float]:
    """Return scores (N, L) and images/s; a first batch, which takes longer, is not timed."""
    start(pixels_NSS3[:BATCH])()
    began = time.perf_counter()
    scores = []
    for first in range(0, len(pixels_NSS3), BATCH):
        scores.append(start(pixels_NSS3[first : first + BATCH])().scores_BL)
        advance(len(scores[-1]))
    return np.concatenate(scores), len(pixels_NSS3) / (time.perf_counter() - began)
