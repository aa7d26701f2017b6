"""How fast `annotate` is beside what decoding alone and the model alone allow, in the same run.

The limit on a CPU is that both share the cores: 1 / (1/decode + 1/forward). On a GPU it is the slower of the two.
Pictures are photographs of ../shared where they are, else generated ones, 640 pixels wide.
"""

import os
import tempfile
from pathlib import Path

import torch

from aaam_pipeline.annotate import reader, runner, sources
from aaam_pipeline.annotate.mapper import Mapper
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import scenes
from aaam_pipeline.models import ModelParams, Network, bundle
from aaam_pipeline.models.attention import AttentionParams
from aaam_pipeline.models.preprocess import Decoded, Preprocess
from benchmarks.table import best, show

BACKBONES = {"vgg_small": 96, "mobilenet_v2": 224, "resnet50": 224}
BATCH = 32
REPEATS = 3


def run() -> None:
    """Measure every backbone and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        photos = _photos(Path(folder))
        rows = [_measure(name, size, photos, Path(folder)) for name, size in BACKBONES.items()]
    names = ["backbone", "input", "images", "decode only", "forward only", "limit", "annotate", "annotate / limit"]
    show("annotate, images/s", names, rows)


def _measure(name: str, size: int, photos: Path, folder: Path) -> list[str]:
    inputs = sources.find([photos])
    model = _bundle(name, size, folder / name)
    loaded = bundle.load(model, bundle.choose_device("auto"))
    mapper, workers = Mapper(loaded), os.cpu_count() or 1

    def decode() -> list[reader.Image]:
        return list(reader.read(inputs, loaded.info.preprocess, workers, ahead=2 * BATCH))

    pixels = [image.picture.pixels_SS3 for image in decode() if isinstance(image.picture, Decoded)]
    batches = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
    options = runner.Options(batch_size=BATCH, on_existing="overwrite")
    mapper.predict(batches[0])

    decode_rate = len(inputs) / best(decode, REPEATS)
    forward_rate = len(inputs) / best(lambda: [mapper.predict(batch) for batch in batches], REPEATS)
    load = best(lambda: bundle.load(model, mapper.device), REPEATS)
    whole = best(lambda: runner.annotate(inputs, model, folder / "out" / name, options, NullReporter()), REPEATS)
    rate = len(inputs) / (whole - load)
    shared = mapper.device.type == "cpu"
    limit = 1 / (1 / decode_rate + 1 / forward_rate) if shared else min(decode_rate, forward_rate)
    rates = [f"{value:.1f}" for value in (decode_rate, forward_rate, limit, rate)]
    return [name, f"{size} px", str(len(inputs)), *rates, f"{rate / limit:.2f}"]


def _bundle(name: str, size: int, folder: Path) -> Path:
    """Save an untrained model: speed does not depend on what the weights are."""
    torch.manual_seed(1)
    model = ModelParams(backbone=name, weights="none", attention=AttentionParams(filters="depthwise", kernel_size=1))
    labels = [f"label {number}" for number in range(80)]
    info = bundle.BundleInfo(
        bundle.FORMAT, bundle.VERSION, "", model, Preprocess(size=size), labels, [0.5] * 80, 3, "bench", "bce", {}, ""
    )
    bundle.save(Network(model, 80, size).eval(), info, folder)
    return folder


def _photos(folder: Path) -> Path:
    real = Path(os.environ.get("AAAM_SHARED", "../shared")) / "data" / "coco128" / "train2017"
    if real.is_dir():
        return real
    generated = folder / "photos"
    generated.mkdir()
    scenes.download(scenes.Params(train=1, val=1, test=126, size=640), generated, NullReporter())
    return generated
