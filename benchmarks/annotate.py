"""How fast `annotate` is beside what decoding alone and the model alone allow, and beside a plain DataLoader loop.

The limit on a CPU is that both share the cores: 1 / (1/decode + 1/forward). On a GPU it is the slower of the two. What
is done once (loading the model, starting processes, publishing) is measured with a single image and left out.
Pictures are COCO128's photographs where `AAAM_SHARED` has them, else generated ones, 640 pixels wide; a list repeats
them. The loop is what one would write without this program: the same decoding, no facts, no failures, no files.
"""

import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aaam_pipeline.annotate import backends, inputs, runner
from aaam_pipeline.annotate.backends import Backend
from aaam_pipeline.annotate.decoder import DecodeSetup
from aaam_pipeline.annotate.decoder_pool import DecoderPool
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.annotate.options import BackendName
from aaam_pipeline.baselines.compare import in_process
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.imaging import MAX_PIXELS
from aaam_pipeline.imaging.resizing import DecodedImage, resize_square
from aaam_pipeline.models import bundle
from aaam_pipeline.models.inference.torch_backend import InferenceModule
from benchmarks.material import photos, save_bundle
from benchmarks.table import Report, best

GPU = torch.cuda.is_available()
BATCH = 128 if GPU else 32
WORKERS = available_cores()
MINUTES = (5.0, 10.0)


class Size(NamedTuple):
    """How much is measured: repetitions, and images for about so many seconds of each model, within bounds."""

    repeats: int
    seconds: float
    fewest: int
    most: int


# few images would make what is done once too large a part
SHORT, FULL = Size(2, 4, 256, 8192), Size(3, 8, 512, 16384)


class Case(NamedTuple):
    """A model to measure: its backbone, its input's side, what runs it."""

    backbone: str
    size: int
    backend: BackendName = "torch"


CASES = [Case("vgg_small", 96), Case("mobilenet_v2", 224), Case("resnet50", 224)]
if not GPU:
    CASES.append(Case("mobilenet_v2", 224, "openvino"))


def run(report: Report, full: bool = False) -> None:
    """Measure every case."""
    limit = "limit: the slower" if GPU else "limit: both share the cores"
    names = ["backbone", "backend", "images", "decode only", "forward only", limit, "DataLoader loop", "annotate"]
    add = report.table("annotate, images/s", [*names, "annotate / limit", "annotate / loop"])
    with tempfile.TemporaryDirectory() as folder:
        pictures = photos(Path(folder))
        for case in CASES:
            add(_measure(case, pictures, Path(folder), FULL if full else SHORT))


def _measure(case: Case, pictures: Path, folder: Path, how: Size) -> list[str]:
    model = save_bundle(case.backbone, case.size, folder / case.backbone)
    backend = backends.create(case.backend, model, "auto")
    few = list(inputs.find([pictures]))
    with DecoderPool(DecodeSetup(case.size, MAX_PIXELS), WORKERS, 60) as pool:
        decoded = [image.picture for image in pool.read(few, 2 * BATCH)]
        pixels_NSS3 = np.stack([picture.pixels_SS3 for picture in decoded if isinstance(picture, DecodedImage)])
        pixels_NSS3 = np.resize(pixels_NSS3, (max(len(pixels_NSS3), 4 * BATCH), *pixels_NSS3.shape[1:]))
        forward(backend, pixels_NSS3[:BATCH])
        forward_rate = len(pixels_NSS3) / best(lambda: forward(backend, pixels_NSS3), how.repeats)
        listed = repeated(few, min(max(int(forward_rate * how.seconds), how.fewest), how.most), folder / "list.txt")
        decode_rate = len(listed) / best(lambda: [None for _ in pool.read(listed, 2 * BATCH)], how.repeats)

    def annotate(items: list[InputItem]) -> object:
        options = runner.Options(batch_size=BATCH, num_workers=WORKERS, backend=case.backend, on_existing="overwrite")
        return runner.annotate(items, model, folder / "out", options, NullReporter())

    rate = rate_of(annotate, listed, how.repeats)
    # in a process of its own: what the backend sets for this one would help it, too
    loop = in_process(_plain_rate, listed, model, how.repeats) if case.backend == "torch" else None
    limit = min(decode_rate, forward_rate) if GPU else 1 / (1 / decode_rate + 1 / forward_rate)
    rates = [f"{value:.1f}" if value else "" for value in (decode_rate, forward_rate, limit, loop, rate)]
    ratios = [f"{rate / limit:.2f}", f"{rate / loop:.2f}" if loop else ""]
    return [f"{case.backbone}, {case.size} px", backend.title, str(len(listed)), *rates, *ratios]


def rate_of(work: Callable[[list[InputItem]], object], items: list[InputItem], repeats: int) -> float:
    """Return images/s, without what one image takes alone."""
    once = best(lambda: work(items[:1]), repeats)
    return (len(items) - 1) / (best(lambda: work(items), repeats) - once)


def forward(backend: Backend, pixels_NSS3: NDArray[np.uint8]) -> None:
    """Run all batches as `annotate` does: the next one is begun before the answer of one is taken."""
    begun: list[Callable[[], object]] = []
    for first in range(0, len(pixels_NSS3), BATCH):
        begun.append(backend.start(pixels_NSS3[first : first + BATCH]))
        if len(begun) > 1:
            begun.pop(0)()
    for finish in begun:
        finish()


class _Photos(Dataset[Tensor]):
    """Decoded photographs, as torch wants them."""

    def __init__(self, items: list[InputItem], size: int) -> None:
        self._locations, self._size = [item.location for item in items], size

    def __len__(self) -> int:
        return len(self._locations)

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor(resize_square(Path(self._locations[index]).read_bytes(), self._size).pixels_SS3)


def _plain_rate(items: list[InputItem], model: Path, repeats: int) -> float:
    return rate_of(lambda some: _plain_loop(some, model), items, repeats)


def _plain_loop(items: list[InputItem], model: Path) -> list[Tensor]:
    device = bundle.choose_device("auto")
    loaded = bundle.load(model, device)
    whole = InferenceModule(loaded.network, loaded.info.preprocess)
    photos = _Photos(items, loaded.info.preprocess.size)
    found: list[Tensor] = []
    with torch.inference_mode():
        for pixels_BSS3 in DataLoader(photos, BATCH, num_workers=WORKERS, pin_memory=GPU):
            found += [answer.cpu() for answer in whole(pixels_BSS3.to(device, non_blocking=True))]
    return found


def repeated(few: list[InputItem], count: int, path: Path) -> list[InputItem]:
    """Return the images of a list that repeats a few files."""
    path.write_text("".join(f"{few[number % len(few)].location}\n" for number in range(count)))
    return list(islice(inputs.find([path]), count))
