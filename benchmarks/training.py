"""How fast training is: VGG16 at 224 px, the paper's network, against a plain loop and against what the device can do.

The plain loop is what one would write first: a DataLoader over the same prepared pixels that augments each picture by
itself with torchvision, fp32, Adam. The limit is the rate of a convolution like VGG16's and of a large matrix product,
measured in the same run in the precision that training uses there. Labels and pixels are random: speed does not depend
on them. The mean of 30 epochs is that of the three phases at 10 epochs each, without validation.

On a CPU a second table shows what one would train there, MobileNetV2 at 192 px, with layers kept and in bf16.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import v2

from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.prepared import Split
from aaam_pipeline.models import ModelParams, Network
from aaam_pipeline.models.info import AttentionParams
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training import loaders
from aaam_pipeline.training.device import set_up_process
from aaam_pipeline.training.distributed import DistributedContext
from aaam_pipeline.training.loaders import Augment
from aaam_pipeline.training.optimizer import make_optimizer
from aaam_pipeline.training.phases import PHASES, PhaseParams, PhaseSettings, TrainParams
from aaam_pipeline.training.prediction_tracker import PredictionTracker
from aaam_pipeline.training.state import PhaseStatus, TrainJob, TrainState
from aaam_pipeline.training.trainer import train_epoch
from benchmarks.table import Report, best

LABELS = 80
COCO_IMAGES, EPOCHS = 82_081, 30
MINUTES = (10.0, 10.0)


class Model(NamedTuple):
    """What is trained: a backbone, the side of its images, and how many of its first layers are kept."""

    backbone: str
    size: int
    frozen: int = 0


# all layers trained, and with the first ones kept: of VGG16 up to the second pooling, as in params.yaml
VGG16 = (Model("vgg16", 224), Model("vgg16", 224, 10))
MOBILENET_V2 = (Model("mobilenet_v2", 192), Model("mobilenet_v2", 192, 7))


class Scale(NamedTuple):
    """How much is measured: images of an epoch, of a batch, and the side of the matrix product."""

    images: int
    batch: int
    matrix: int = 0


SMALL = Scale(images=256, batch=32)
SCALES = {"cuda": Scale(images=8192, batch=128, matrix=8192), "cpu": Scale(images=32, batch=16, matrix=2048)}


def run(report: Report, full: bool = False) -> None:
    """Measure both loops and the limits; there is one size."""
    context = DistributedContext()
    device, scale = context.device, SCALES[context.device.type]
    large, small = _pictures(scale.images, VGG16[0].size), _pictures(SMALL.images, MOBILENET_V2[0].size)
    # in a process that is as it started: what training sets would help the plain loops, too
    before = _before(VGG16[0], large, context, scale.batch, report)
    before_small = _before(MOBILENET_V2[0], small, context, SMALL.batch, report) if device.type == "cpu" else None
    set_up_process(device)
    _vgg16(context, scale, large, before, report)
    if before_small:
        _mobilenet_v2(context, small, before_small, report)


def _before(model: Model, pictures: Split, context: DistributedContext, batch: int, report: Report) -> dict[str, float]:
    """Return images/s of the plain loop and, on a CPU, of ours without what training sets for its process."""
    rates = {"plain DataLoader loop, fp32": _plain_loop(model, pictures, context.device, batch)}
    if context.device.type == "cpu":
        rate = _ours(model, pictures, context, batch, "bce", loaders.HostLoader(pictures), "fp32")
        rates["bce, fp32, process as it started"] = rate
    for name, rate in rates.items():
        report.info(f"{model.backbone}, {name}: {rate:.1f} images/s")
    return rates


def _vgg16(
    context: DistributedContext, scale: Scale, pictures: Split, before: dict[str, float], report: Report
) -> None:
    device, plain = context.device, next(iter(before.values()))
    peak, conv = _matrix_rate(device, scale.matrix), _convolution_rate(device, scale.batch)
    names = ["VGG16, 224 px", "images/s", "times plain", "of convolution rate", "of matmul rate", "COCO, 30 epochs"]
    title = f"training on {device.type}: matmul {peak / 1e12:.2f}, convolution {conv / 1e12:.2f} TFLOP/s"
    add = report.table(title, names)
    for name, rate in before.items():
        add([name, *_cells(rate, plain, _flops_an_image(VGG16[0]), conv, peak)])
    for model in VGG16:
        flops, note = _flops_an_image(model), f", first {model.frozen} layers kept" if model.frozen else ""
        for phase in ("bce", "joint", "hard"):
            for name, make in _loaders(device).items():
                rate = _ours(model, pictures, context, scale.batch, phase, make(pictures))
                add([f"{phase}, {name}{note}", *_cells(rate, plain, flops, conv, peak)])


def _mobilenet_v2(context: DistributedContext, pictures: Split, before: dict[str, float], report: Report) -> None:
    plain = next(iter(before.values()))
    names = [f"MobileNetV2, {MOBILENET_V2[0].size} px", "images/s", "times plain"]
    add = report.table("training on cpu, small network", names)
    for name, rate in before.items():
        add([name, f"{rate:.1f}", f"{rate / plain:.1f}"])
    for model in MOBILENET_V2:
        for precision in ("fp32", "bf16"):
            rate = _ours(model, pictures, context, SMALL.batch, "bce", loaders.HostLoader(pictures), precision)
            add([f"bce, first {model.frozen} layers kept, {precision}", f"{rate:.1f}", f"{rate / plain:.1f}"])


def _cells(rate: float, plain: float, flops: float, conv: float, peak: float) -> list[str]:
    minutes = COCO_IMAGES * EPOCHS / rate / 60
    took = f"{minutes:.0f} min" if minutes < 600 else f"{minutes / 60 / 24:.1f} days"
    return [f"{rate:.1f}", f"{rate / plain:.1f}", f"{rate * flops / conv:.0%}", f"{rate * flops / peak:.0%}", took]


def _pictures(images: int, size: int) -> Split:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (images, size, size, 3), dtype=np.uint8)
    targets = (rng.random((images, LABELS)) < 3 / LABELS).astype(np.int8)
    return Split([str(n) for n in range(images)], [Path(str(n)) for n in range(images)], pixels, targets)


def _network(model: Model) -> Network:
    torch.manual_seed(1)
    # wide maps take one filter a channel, as params.yaml has it
    filters: Literal["dense", "depthwise"] = "dense" if model.backbone == "vgg16" else "depthwise"
    params = ModelParams(
        backbone=model.backbone, weights="none", batch_norm="frozen", frozen_layers=model.frozen,
        attention=AttentionParams(filters=filters),
    )  # fmt: skip
    return Network(params, LABELS, model.size)


def _loaders(device: torch.device) -> dict[str, Callable[[Split], loaders.Loader]]:
    if device.type != "cuda":
        return {"from memory": loaders.HostLoader}
    return {
        "in GPU memory": lambda split: loaders.DeviceLoader(split, device),
        "prefetched": lambda split: loaders.PrefetchLoader(split, device),
    }


def _ours(
    model: Model,
    split: Split,
    context: DistributedContext,
    batch: int,
    phase: str,
    loader: loaders.Loader,
    precision: str = "auto",
) -> float:
    """Return images/s of an epoch of this project's loop, after one that warms up."""
    network = _network(model).to(context.device).to(memory_format=torch.channels_last)
    params = PhaseParams(epochs=3, margin=0.1)
    how = TrainParams(batch_size=batch, precision=precision, augment=Augment())  # type: ignore[arg-type]
    settings = PhaseSettings(3, Preprocess(size=model.size), ModelParams(), how, params)
    with tempfile.TemporaryDirectory() as folder:
        job = TrainJob(
            "bench", PHASES[phase], settings, split, split, split, [""] * LABELS, context,
            Path(folder, "checkpoint"), "", NullReporter(),
        )  # fmt: skip
        # of one picture: ten recordings of many would be half of an epoch as short as this
        tracker = PredictionTracker(_pictures(1, model.size), 1, settings.preprocess, context.device)
        state = TrainState(network, make_optimizer(network, how, params, context.device), tracker, PhaseStatus(""))
        seconds = []
        for _ in range(2):
            state.status.begin_epoch()
            started = time.perf_counter()
            train_epoch(job, state, network, loader)
            seconds.append(time.perf_counter() - started)
    return len(split.image_ids) / seconds[-1]


class _Pictures(Dataset[Any]):
    """One picture at a time, augmented by torchvision."""

    def __init__(self, split: Split, size: int) -> None:
        self.split = split
        normal = Preprocess(size=size)
        self.augment = v2.Compose(
            [v2.RandomHorizontalFlip(), v2.RandomResizedCrop(size, (0.6, 1.0)), v2.ColorJitter(0.2, 0.2),
             v2.ToDtype(torch.float32, scale=True), v2.Normalize(normal.mean, normal.std)]
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.split.image_ids)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(self.split.pixels_NSS3[row]).permute(2, 0, 1)
        return self.augment(pixels), torch.from_numpy(self.split.targets_NL[row]).float()


def _plain_loop(model: Model, split: Split, device: torch.device, batch: int) -> float:
    """Return images/s of an epoch of the plain loop, after one that warms up."""
    network = _network(model).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-5)
    loader = DataLoader(
        _Pictures(split, model.size), batch, shuffle=True, num_workers=min(available_cores(), 8),
        pin_memory=device.type == "cuda", persistent_workers=True,
    )  # fmt: skip

    def epoch() -> None:
        for images, targets in loader:
            loss = nn.functional.binary_cross_entropy_with_logits(network(images.to(device)), targets.to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item()

    epoch()
    return len(split.image_ids) / best(epoch, 1)


def _flops_an_image(model: Model) -> float:
    """Return the floating-point operations of one image, forward and backward."""
    network = _network(model).train()
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(2, 3, model.size, model.size)).sum().backward()
    return float(counter.get_total_flops()) / 2


def _matrix_rate(device: torch.device, side: int) -> float:
    a = torch.randn(side, side, device=device, dtype=_precision(device))
    return 2 * side**3 / _seconds(lambda: a @ a, device)


def _convolution_rate(device: torch.device, batch: int) -> float:
    """Return the rate of VGG16's typical layer, 256 to 256 channels of 3 x 3 at 56 x 56, in FLOP/s."""
    convolution = nn.Conv2d(256, 256, 3, padding=1, device=device, dtype=_precision(device))
    convolution = convolution.to(memory_format=torch.channels_last)
    x = torch.randn(batch, 256, 56, 56, device=device, dtype=_precision(device))
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        return 2 * batch * 256 * 256 * 9 * 56 * 56 / _seconds(lambda: convolution(x), device)


def _precision(device: torch.device) -> torch.dtype:
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the time of one call, out of several that follow each other without waiting."""
    calls = 20 if device.type == "cuda" else 2

    def several() -> None:
        for _ in range(calls):
            work()
        if device.type == "cuda":
            torch.cuda.synchronize()

    several()
    return best(several, 3) / calls
