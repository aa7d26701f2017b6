"""What annotating with a model costs beside what a CLIP indexer must do on the same photographs, images/s.

A CLIP indexer decodes each photograph and runs an image tower, ViT-B/32 in its smallest usual form (224 px, 88 million
weights, as open_clip's and OpenAI's). timm's `vit_base_patch32_clip_224` is that tower; its weights are random, which
changes nothing of the time. It is given its pictures by the same decoding processes as `annotate` has, and is run by
torch and by OpenVINO (converted): more than a plain indexer does. OpenVINO computes in fp32, and as it comes, which is
bf16 where the processor has it. `AAAM_BENCH_MODEL` names a bundle; without it, the starter is taken.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aaam_pipeline.annotate import backends, inputs, runner
from aaam_pipeline.annotate.decoder import DecodeSetup
from aaam_pipeline.annotate.decoder_pool import DecoderPool
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.imaging import MAX_PIXELS
from aaam_pipeline.imaging.resizing import DecodedImage
from aaam_pipeline.models import library
from aaam_pipeline.models.inference import load_openvino
from aaam_pipeline.models.inference.openvino_backend import CHUNK
from benchmarks.annotate import BATCH, WORKERS, forward, rate_of, repeated
from benchmarks.material import photos
from benchmarks.table import Report, best

TOWER, SIDE = "vit_base_patch32_clip_224", 224
MINUTES = (4.0, 12.0)
Embed = Callable[[NDArray[np.uint8]], object]


def run(report: Report, full: bool = False) -> None:
    """Measure the tower by torch and by OpenVINO, and the model."""
    count, repeats = (1024, 3) if full else (256, 2)
    model = Path(os.environ.get("AAAM_BENCH_MODEL", library.STARTER_FOLDER))
    names = ["what", "decode only", "forward only", "both", "annotate / it"]
    add = report.table("annotate beside a CLIP indexer, images/s", names)
    with tempfile.TemporaryDirectory() as folder:
        few = list(inputs.find([photos(Path(folder))]))
        rate, row = _annotate(model, few, count * 4, repeats, Path(folder))
        add([*row, ""])
        listed = repeated(few, count, Path(folder, "few.txt"))
        tower = timm.create_model(TOWER, num_classes=0).eval()
        for runtime, embed in (("torch", _by_torch(tower)), _by_openvino(tower, "f32"), _by_openvino(tower)):
            # as that of `annotate`: without what one photograph takes, which is the start of the processes
            decoding = rate_of(lambda some: _index(some, None), listed, repeats)
            pixels_BSS3 = np.zeros((BATCH, SIDE, SIDE, 3), np.uint8)
            forward_only = BATCH / best(partial(embed, pixels_BSS3), 2 * repeats)
            both = rate_of(partial(_index, embed=embed), listed, repeats)
            figures = [f"{each:.1f}" for each in (decoding, forward_only, both, rate / both)]
            add([f"CLIP ViT-B/32, {runtime}", *figures])


def _annotate(model: Path, few: list[InputItem], count: int, repeats: int, folder: Path) -> tuple[float, list[str]]:
    """Return the rate of `annotate`, and its row: decode only, forward only, and both."""
    backend = backends.create("auto", model, "cpu")
    size = backend.info.preprocess.size
    listed = repeated(few, count, folder / "many.txt")
    decoding = rate_of(lambda some: _decoded(some, size), listed, repeats)
    pixels_NSS3 = np.zeros((4 * BATCH, size, size, 3), np.uint8)
    forward_only = len(pixels_NSS3) / best(lambda: forward(backend, pixels_NSS3), repeats + 1)

    def annotate(items: list[InputItem]) -> object:
        options = runner.Options(batch_size=BATCH, num_workers=WORKERS, on_existing="overwrite")
        return runner.annotate(items, model, folder / "out", options, NullReporter())

    rate = rate_of(annotate, listed, repeats)
    figures = [f"{each:.1f}" for each in (decoding, forward_only, rate)]
    return rate, [f"`annotate`, {backend.info.model_id}, {backend.title}", *figures]


def _decoded(items: list[InputItem], size: int) -> None:
    with DecoderPool(DecodeSetup(size, MAX_PIXELS), WORKERS, 60) as pool:
        for _ in pool.read(items, 2 * BATCH):
            pass


def _index(items: list[InputItem], embed: Embed | None) -> None:
    """Decode all photographs and embed them, a batch while the next ones are decoded."""
    with DecoderPool(DecodeSetup(SIDE, MAX_PIXELS), WORKERS, 60) as pool:
        batch: list[NDArray[np.uint8]] = []
        for image in pool.read(items, 2 * BATCH):
            if isinstance(image.picture, DecodedImage):
                batch.append(image.picture.pixels_SS3.copy())
            if embed and len(batch) == BATCH:
                embed(np.stack(batch))
            if len(batch) == BATCH:
                batch = []


class _FromPixels(nn.Module):
    """The tower with its normalisation, of uint8 pixels (B, S, S, 3)."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels_BSS3: Tensor) -> Tensor:
        embedding_BD: Tensor = self.tower(pixels_BSS3.permute(0, 3, 1, 2).float() / 127.5 - 1)
        return embedding_BD


def _by_torch(tower: nn.Module) -> Embed:
    module = _FromPixels(tower)

    def embed(pixels_BSS3: NDArray[np.uint8]) -> object:
        with torch.inference_mode():
            return module(torch.from_numpy(pixels_BSS3))

    return embed


def _by_openvino(tower: nn.Module, precision: str | None = None) -> tuple[str, Embed]:
    """Return OpenVINO with the precision that it computes in, and the tower run by it."""
    openvino = load_openvino()
    from openvino.tools.ovc import convert_model

    example = torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8)
    converted = convert_model(_FromPixels(tower), example_input=example)
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT", "ENABLE_CPU_PINNING": False}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    compiled = openvino.Core().compile_model(converted, "CPU", settings)
    computes = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    queue: Any = openvino.AsyncInferQueue(compiled)

    def embed(pixels_BSS3: NDArray[np.uint8]) -> object:
        # as many images a request as `annotate` has
        for first in range(0, len(pixels_BSS3), CHUNK):
            queue.start_async({0: pixels_BSS3[first : first + CHUNK]})
        queue.wait_all()
        return None

    return f"OpenVINO {computes}{'' if precision else ', as it comes'}", embed
