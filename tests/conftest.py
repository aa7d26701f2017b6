"""What tests of several rooms need: a tiny model bundle, a folder of photographs, a finished annotations folder."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aaam_pipeline.annotate import runner, sources
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.index.build import build
from aaam_pipeline.models import ModelParams, Network, bundle
from aaam_pipeline.models.attention import AttentionParams
from aaam_pipeline.models.preprocess import Preprocess

LABELS = ["grass", "football", "traffic light", "person", "dog"]


def make_bundle(folder: Path, labels: list[str] = LABELS, seed: int = 1, threshold: float = 0.5) -> Path:
    """Save an untrained network of `labels` for pictures of 32 px; another seed gives another model id."""
    torch.manual_seed(seed)
    model = ModelParams(
        backbone="vgg_small", weights="none", batch_norm="train", attention=AttentionParams(filters="depthwise")
    )
    preprocess = Preprocess(size=32)
    network = Network(model, len(labels), preprocess.size)
    # outputs of an untrained network hardly differ: spread them, so that rankings mean something
    torch.nn.init.normal_(network.classifier.weight, std=20.0)
    info = bundle.BundleInfo(
        format=bundle.FORMAT,
        version=bundle.VERSION,
        model_id="",
        architecture=model,
        preprocess=preprocess,
        vocabulary=labels,
        thresholds=[threshold] * len(labels),
        k=2,
        dataset="toy",
        phase="bce",
        metrics={},
        weights_sha256="",
    )
    bundle.save(network.eval(), info, folder)
    return folder


def make_photo(path: Path, seed: int, size: tuple[int, int] = (48, 40)) -> Path:
    """Save a picture that `seed` alone decides: coloured noise in large blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("models") / "models" / "toy" / "bce")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 sound photographs, some of them in a subfolder."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    for number in range(24):
        make_photo(folder / ("holiday" if number % 3 == 0 else ".") / f"{number:03d}.jpg", seed=number)
    return folder


@pytest.fixture(scope="session")
def annotated(tiny_bundle: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotations of `photos`. Read only: copy it to change it."""
    out = tmp_path_factory.mktemp("annotated") / "annotations"
    runner.annotate(sources.find([photos]), tiny_bundle, out, runner.Options(part_size=10), NullReporter())
    return out


@pytest.fixture(scope="session")
def indexed(annotated: Path) -> Path:
    """An index of `annotated`. Read only: copy it to change it."""
    build(annotated, annotated.parent / "index", NullReporter())
    return annotated.parent / "index"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photographs and weights; tests that need it skip where it is not there."""
    folder = Path(os.environ.get("AAAM_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no ../shared with real photographs here")
    return folder
