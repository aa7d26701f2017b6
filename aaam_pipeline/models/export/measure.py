"""What an export loses and gains beside torch fp32, on labelled images: mAP, speed, differences of scores.

Shapes: N images, B batch, S side, L labels.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.errors import AaamError, IntegrityError
from aaam_pipeline.core.progress import Advance, Reporter
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.models.bundle import Bundle
from aaam_pipeline.models.export.load import load_export
from aaam_pipeline.models.export.manifest import ExportInfo, Measured
from aaam_pipeline.models.inference import ModelOutput
from aaam_pipeline.models.inference.module import InferenceModule
from aaam_pipeline.models.inference.torch_backend import TorchBackend

BATCH = 32
# two ways of computing in fp32 that differ by more than this are not the same model
SAME = 0.005

Start = Callable[[NDArray[np.uint8]], Callable[[], ModelOutput]]
# `metrics.evaluate`: (scores_NL, targets_NL, k) -> values by name, of which `map` is read
Evaluate = Callable[[NDArray[np.float32], NDArray[np.uint8], int], Mapping[str, float]]


class LabelledImages(NamedTuple):
    """A labelled split to measure on: `pixels_NSS3` uint8, `targets_NL`, and how mAP is computed of its scores."""

    pixels_NSS3: NDArray[np.uint8]
    targets_NL: NDArray[np.uint8]
    evaluate: Evaluate
    split: str = "val"


def measure(loaded: Bundle, folder: Path, export: ExportInfo, images: LabelledImages, report: Reporter) -> Measured:
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


def check(export: ExportInfo, measured: Measured, max_map_loss: float) -> None:
    """Refuse an export that loses too much.

    Raises:
        IntegrityError: the scores of an fp32 export are not the model's own.
        AaamError: more mAP is lost than `max_map_loss`, in points of 100.
    """
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
        return load_export(folder, export, export.info).start
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
