"""What benchmarks share: photographs, and untrained models, whose speed is that of trained ones."""

import os
from pathlib import Path
from typing import Literal

import torch

from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import scenes
from aaam_pipeline.models import ModelParams, Network, bundle
from aaam_pipeline.models.info import AttentionParams, BundleInfo
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.models.runtime_form import FormMaker, FormRequest

SHARED = Path(os.environ.get("AAAM_SHARED", "../shared")).absolute()
LABELS = 80
Filters = Literal["dense", "depthwise"]


def make_model(backbone: str, size: int, filters: Filters = "depthwise") -> tuple[Network, BundleInfo]:
    """Return a network with random weights for pictures of `size` pixels, ready to predict, and what describes it."""
    torch.manual_seed(1)
    # as in params.yaml: the paper's attention for VGG16, the light one for the others
    attention = AttentionParams(filters=filters, kernel_size=3 if filters == "dense" else 1)
    model = ModelParams(backbone=backbone, weights="none", attention=attention)
    labels = [f"label {number}" for number in range(LABELS)]
    thresholds = [0.5] * LABELS
    info = BundleInfo(
        architecture=model,
        preprocess=Preprocess(size=size),
        vocabulary=labels,
        thresholds=thresholds,
        k=3,
        dataset="bench",
        phase="bce",
        metrics={},
    )
    return Network(model, LABELS, size).eval(), info


def save_bundle(backbone: str, size: int, folder: Path) -> Path:
    """Save such a model; return the bundle's folder."""
    bundle.save(*make_model(backbone, size), folder, FormMaker(FormRequest("fp32")))
    return folder


def photos(folder: Path) -> Path:
    """Return a folder of photographs 640 pixels wide: real ones, else drawn ones that are put into `folder`."""
    real = SHARED / "data" / "coco128" / "train2017"
    if real.is_dir():
        return real
    drawn = folder / "photos"
    drawn.mkdir()
    scenes.download(scenes.Params(train=1, val=1, test=126, size=640), drawn, NullReporter())
    return drawn
