"""`aaam-pipe model export`: convert a bundle, measure what that costs on labelled images, and only then publish it.

Shapes: N images, S side, L labels.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.annotate.backends.base import Backend, ModelOutput
from aaam_pipeline.annotate.backends.openvino_backend import OpenVinoBackend
from aaam_pipeline.annotate.backends.torch_backend import TorchBackend
from aaam_pipeline.core.artifacts import foreign, publish, work_folder, write_checksummed
from aaam_pipeline.core.errors import AaamError, IntegrityError, UsageError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.prepared import read_labels, read_split
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.models import bundle
from aaam_pipeline.models.bundle import Bundle
from aaam_pipeline.models.export import convert as export
from aaam_pipeline.models.export import manifest as exported
from aaam_pipeline.models.export import runtimes
from aaam_pipeline.models.export.manifest import MANIFEST, ExportInfo, Measured, Precision, Runtime

BATCH = 32
# two ways of computing in fp32 that differ by more than this are not the same model
SAME = 0.005


class Request(NamedTuple):
    """What to export. `data`: a prepared data set, None where there is none; `max_map_loss`: in points of 100."""

    runtime: Runtime
    precision: Precision
    data: Path | None
    split: str = "val"
    max_map_loss: float = 0.5
    calibration_images: int = 300


def run(model: Path, out: Path, request: Request, report: Reporter) -> ExportInfo:
    """Export the bundle `model` into the folder `out`, in place of an earlier export there; return its `export.json`.

    Raises:
        UsageError: a package or the prepared data is missing, or `out` holds something else.
        DatasetError: the prepared data is damaged, or of other labels than the model's.
        AaamError: it loses more than `max_map_loss`; an earlier export stays as it was.
    """
    _check(request, out)
    loaded = bundle.load(model, torch.device("cpu"))
    if request.data:
        _check_data(request.data, loaded)
    work = work_folder(out)
    try:
        quantised = _quantised(loaded, request, report) if request.precision == "int8" else None
        made = export.write(loaded, work, request.runtime, request.precision, quantised)
        if request.data:
            measured = _measure(loaded, work, made, request, report)
            made = write_checksummed(work / MANIFEST, msgspec.structs.replace(made, measured=measured))
            _judge(made, request)
        else:
            report.info(
                "no prepared data set: the scores of this export were not compared with the model's; see --data"
            )
        publish(work, out)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return made


def _check(request: Request, out: Path) -> None:
    runtimes.need(request.runtime)
    if request.runtime == "onnx" and request.precision != "fp32":
        raise UsageError("ONNX exports are fp32: quantise them with the tools of the runtime that will run them")
    if request.precision == "int8" and request.data is None:
        raise UsageError("int8 is calibrated on training images: name the prepared data set with --data")
    if out.is_dir() and any(out.iterdir()) and (not exported.is_export(out) or foreign(out, MANIFEST, "model.*")):
        raise UsageError(f"{out} exists and is not an exported model; choose another --out")


def _check_data(data: Path, loaded: Bundle) -> None:
    if read_labels(data) != loaded.info.vocabulary:
        raise UsageError(f"{data} has other labels than the model; name the data set it was trained on with --data")


def _quantised(loaded: Bundle, request: Request, report: Reporter) -> Any:
    assert request.data
    pixels_NSS3 = read_split(request.data, "train").pixels_NSS3
    # spread over the whole split: data sets are often sorted by subject
    count = min(request.calibration_images, len(pixels_NSS3))
    rows = np.linspace(0, len(pixels_NSS3) - 1, count).astype(np.int64)
    report.info(f"quantising to int8 with {count} training images")
    model = export.to_openvino(loaded.network, loaded.info.preprocess)
    return export.quantise(model, np.asarray(pixels_NSS3[rows]))


def _measure(loaded: Bundle, work: Path, made: ExportInfo, request: Request, report: Reporter) -> Measured:
    """Score a split with torch fp32 and with the files just written."""
    assert request.data
    split = read_split(request.data, request.split)
    reference = TorchBackend(export.Whole(loaded.network, loaded.info.preprocess), loaded.info)
    other = _start_of(work, made)
    with report.task(f"measure on {request.split}", 2 * len(split.pixels_NSS3)) as advance:
        torch_NL, torch_rate = _scores(reference.start, split.pixels_NSS3, advance)
        export_NL, export_rate = _scores(other, split.pixels_NSS3, advance)
    # compared as annotations have them
    torch_NL, export_NL = (calibrate(scores_NL, loaded.info.calibration) for scores_NL in (torch_NL, export_NL))
    differences_NL = np.abs(torch_NL - export_NL)
    maps = [metrics.evaluate(scores, split.targets_NL, loaded.info.k)["map"] for scores in (torch_NL, export_NL)]
    return Measured(
        split=request.split,
        images=len(torch_NL),
        map_torch=maps[0],
        map_export=maps[1],
        rate_torch=torch_rate,
        rate_export=export_rate,
        max_difference=float(differences_NL.max()),
        mean_difference=float(differences_NL.mean()),
    )


Start = Callable[[NDArray[np.uint8]], Callable[[], ModelOutput]]


def _start_of(work: Path, made: ExportInfo) -> Start:
    """Return what runs the files in `work`: the runtime that they are for."""
    if made.runtime == "openvino":
        backend: Backend = OpenVinoBackend.read(work, made, made.info)
        return backend.start
    import onnxruntime

    session = onnxruntime.InferenceSession(work / "model.onnx", providers=["CPUExecutionProvider"])
    return lambda pixels_BSS3: lambda: ModelOutput(*session.run(None, {"pixels": np.asarray(pixels_BSS3)}))


def _scores(start: Start, pixels_NSS3: NDArray[np.uint8], advance: Callable[[int], None]) -> tuple[Any, float]:
    """Return scores (N, L) and images/s; a first batch, which takes longer, is not timed."""
    start(pixels_NSS3[:BATCH])()
    began = time.perf_counter()
    scores = []
    for first in range(0, len(pixels_NSS3), BATCH):
        scores.append(start(pixels_NSS3[first : first + BATCH])().scores_BL)
        advance(len(scores[-1]))
    return np.concatenate(scores), len(pixels_NSS3) / (time.perf_counter() - began)


def _judge(made: ExportInfo, request: Request) -> None:
    measured = made.measured
    assert measured
    if made.precision == "fp32" and measured.max_difference > SAME:
        raise IntegrityError(
            f"the export's scores differ by {measured.max_difference:.3f} from the model's own: nothing exported"
        )
    if measured.map_loss > request.max_map_loss:
        raise AaamError(
            f"{made.precision} loses {measured.map_loss:.2f} points of mAP on {measured.split} "
            f"({100 * measured.map_torch:.2f} to {100 * measured.map_export:.2f}), more than --max-map-loss "
            f"{request.max_map_loss:g}: nothing exported; allow more, or take another --precision"
        )
