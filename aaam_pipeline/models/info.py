"""`bundle.json`: all that is known of a model but its weights. Reading it loads no torch."""

from pathlib import Path
from typing import Any

import msgspec

from aaam_pipeline.core.artifacts import read_checksummed
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.models.architecture import ModelParams
from aaam_pipeline.models.preprocess import Preprocess

FORMAT = "aaam-bundle"
VERSION = 2


class BundleInfo(msgspec.Struct, frozen=True):
    """`bundle.json`. `calibration`: from what the network gives to the scores of annotations; None: they are the same.

    `thresholds`: per label, the (calibrated) score from which it is assigned; `metrics`: on validation; `hash`: of all
    other fields, filled in when it is written.
    """

    format: str
    version: int
    model_id: str
    architecture: ModelParams
    preprocess: Preprocess
    vocabulary: list[str]
    thresholds: list[float]
    k: int
    dataset: str
    phase: str
    metrics: dict[str, Any]
    weights_sha256: str
    calibration: Calibration | None = None
    hash: str = ""


def read_info(folder: Path) -> BundleInfo:
    """Read `bundle.json` alone.

    Raises:
        UsageError: `folder` is no bundle.
        IntegrityError: it is damaged, or of a version this program does not know.
    """

    def outdated(info: BundleInfo) -> str:
        known = (info.format, info.version) == (FORMAT, VERSION)
        return (
            "" if known else f"{folder}: bundle format {info.format!r} version {info.version}, but {VERSION} is known"
        )

    info = read_checksummed(folder / "bundle.json", BundleInfo, "a model bundle", outdated)
    check(folder, info)
    return info


def check(folder: Path, info: BundleInfo) -> None:
    """Raise IntegrityError where the info found in `folder` is not of as many labels throughout."""
    if len(info.thresholds) != len(info.vocabulary):
        raise IntegrityError(f"{folder}: {len(info.thresholds)} thresholds for {len(info.vocabulary)} labels")
    if info.calibration and not info.calibration.fits(len(info.vocabulary)):
        raise IntegrityError(f"{folder}: the calibration is not of {len(info.vocabulary)} labels")
