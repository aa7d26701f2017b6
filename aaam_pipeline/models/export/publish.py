"""`aaam-pipe model export`: convert a bundle, measure what that costs on labelled images, and only then publish it.

Shapes: N images, S side.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import foreign, publish, work_folder, write_checksummed
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.models import bundle
from aaam_pipeline.models.bundle import Bundle
from aaam_pipeline.models.export import convert, measure
from aaam_pipeline.models.export.manifest import MANIFEST, ExportInfo, is_export
from aaam_pipeline.models.export.measure import LabelledImages
from aaam_pipeline.models.inference.runtimes import Precision, Runtime, need


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
    _check(request, out, training_NSS3)
    loaded = bundle.load(model, torch.device("cpu"))
    work = work_folder(out)
    try:
        quantised = _quantised(loaded, request, training_NSS3, report) if request.precision == "int8" else None
        made = convert.write(loaded, work, request.runtime, request.precision, quantised)
        if labelled:
            measured = measure.measure(loaded, work, made, labelled, report)
            made = write_checksummed(work / MANIFEST, msgspec.structs.replace(made, measured=measured))
            measure.check(made, measured, request.max_map_loss)
        else:
            report.info(
                "no prepared data set: the scores of this export were not compared with the model's; see --data"
            )
        publish(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return made


def _check(request: ExportRequest, out: Path, training_NSS3: NDArray[np.uint8] | None) -> None:
    need(request.runtime)
    if request.runtime == "onnx" and request.precision != "fp32":
        raise UsageError("ONNX exports are fp32: quantise them with the tools of the runtime that will run them")
    if request.precision == "int8" and training_NSS3 is None:
        raise UsageError("int8 is calibrated on training images: name the prepared data set with --data")
    if out.is_dir() and any(out.iterdir()) and (not is_export(out) or foreign(out, MANIFEST, "model.*")):
        raise UsageError(f"{out} exists and is not an exported model; choose another --out")


def _quantised(
    loaded: Bundle, request: ExportRequest, training_NSS3: NDArray[np.uint8] | None, report: Reporter
) -> Any:
    assert training_NSS3 is not None
    # spread over the whole split: data sets are often sorted by subject
    count = min(request.calibration_images, len(training_NSS3))
    rows = np.linspace(0, len(training_NSS3) - 1, count).astype(np.int64)
    report.info(f"quantising to int8 with {count} training images")
    model = convert.to_openvino(loaded.network, loaded.info.preprocess)
    return convert.quantise(model, np.asarray(training_NSS3[rows]))
