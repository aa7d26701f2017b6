"""How fast one core decodes photographs to S x S, beside a full decode by Pillow and by what else is installed.

Ours is `resize_square`. Other decoders' full pictures are squashed by Pillow alike, so that only decoding differs.
Pictures are COCO128's photographs where `AAAM_SHARED` has them, else generated ones; those of 12 megapixels are
enlarged ones with a camera's noise. The difference of scores is that of an ImageNet model in its best class.
"""

import io
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from aaam_pipeline.imaging.resizing import resize_square
from aaam_pipeline.models.preprocess import Preprocess
from benchmarks.material import SHARED, photos
from benchmarks.table import Report

SIZE, PHOTOS, REPEATS = 224, 8, 3
MINUTES = (1.0, 1.0)
WEIGHTS = SHARED / "weights" / "mobilenet_v2_imagenet.safetensors"
# what a full decoder makes of a file's bytes: (H, W, 3) uint8
Decoder = Callable[[bytes], NDArray[np.uint8]]
Scorer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
KINDS: dict[str, dict[str, Any]] = {
    "12 MP, 4:2:0, q 75": {"quality": 75, "subsampling": 2},
    "12 MP, 4:2:0, q 92": {"quality": 92, "subsampling": 2},
    "12 MP, 4:2:2, q 92": {"quality": 92, "subsampling": 1},
    "12 MP, 4:4:4, q 95": {"quality": 95, "subsampling": 0},
    "12 MP, progressive": {"quality": 85, "subsampling": 2, "progressive": True},
}


def run(report: Report, full: bool = False) -> None:
    """Measure every decoder on every kind of photograph; there is one size."""
    small = _photos()
    large = [_enlarge(content, seed) for seed, content in enumerate(small)]
    sets = {"640 px": small} | {kind: [_jpeg(image, options) for image in large] for kind, options in KINDS.items()}
    score = _scorer()
    ways = {"PIL full": _full, "ours": _ours} | {name: _squashing(decoder) for name, decoder in _decoders().items()}
    add = report.table(f"decode to {SIZE} px, images/s of one core (times PIL full)", ["photographs", *ways])
    for kind, contents in sets.items():
        rates = _rates(ways, contents)
        add([kind, *(f"{rate:.1f} ({rate / rates['PIL full']:.2f})" for rate in rates.values())])
    names = ["photographs", "pixels, mean", "pixels, max", "best score, mean", "best score, max"]
    add = report.table("decode: difference of ours from PIL full", names)
    for kind, contents in sets.items():
        add([kind, *_compare(contents, score)])


def _photos() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(photos(Path(folder)).rglob("*.jpg"))
        return [path.read_bytes() for path in paths[:: len(paths) // PHOTOS][:PHOTOS]]


def _enlarge(content: bytes, seed: int) -> Image.Image:
    """Make 12 megapixels of a photograph, with noise of two grains: else it would be smoother than real ones."""
    image = Image.open(io.BytesIO(content)).convert("RGB").resize((4000, 3000), Image.Resampling.LANCZOS)
    rng = np.random.default_rng(seed)
    grain = Image.fromarray(rng.normal(128, 8, (1500, 2000, 3)).clip(0, 255).astype(np.uint8))
    coarse = np.asarray(grain.resize(image.size, Image.Resampling.BICUBIC), dtype=np.int16) - 128
    fine = rng.integers(-3, 4, (3000, 4000, 3), dtype=np.int16)
    return Image.fromarray((np.asarray(image) + coarse // 2 + fine).clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def _full(content: bytes) -> NDArray[np.uint8]:
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def _ours(content: bytes) -> NDArray[np.uint8]:
    return resize_square(content, SIZE).pixels_SS3


def _squashing(decoder: Decoder) -> Decoder:
    return lambda content: np.asarray(
        Image.fromarray(decoder(content)).resize((SIZE, SIZE), Image.Resampling.BILINEAR), dtype=np.uint8
    )


def _decoders() -> dict[str, Decoder]:
    """Return the full decoders that can be imported."""
    makers = {"torchvision": _torchvision, "simplejpeg": _simplejpeg, "cv2": _opencv}
    found = {}
    for name, maker in makers.items():
        try:
            found[name] = maker(import_module(name))
        except ImportError:
            continue
    return found


def _torchvision(module: Any) -> Decoder:
    decode = import_module("torchvision.io").decode_jpeg
    return lambda content: (
        decode(torch.frombuffer(bytearray(content), dtype=torch.uint8), mode=module.io.ImageReadMode.RGB)
        .permute(1, 2, 0)
        .contiguous()
        .numpy()
    )


def _simplejpeg(module: Any) -> Decoder:
    return lambda content: np.asarray(module.decode_jpeg(content))


def _opencv(module: Any) -> Decoder:
    module.setNumThreads(1)
    return lambda content: np.asarray(
        module.cvtColor(module.imdecode(np.frombuffer(content, np.uint8), 1), module.COLOR_BGR2RGB)
    )


def _rates(ways: dict[str, Decoder], contents: list[bytes]) -> dict[str, float]:
    """Return images per second of processor time; by turns, so that a busy machine is so for all of them."""
    shortest = {name: [float("inf")] * len(contents) for name in ways}
    for _ in range(REPEATS):
        for index, content in enumerate(contents):
            for name, decode in ways.items():
                started = time.process_time()
                decode(content)
                shortest[name][index] = min(shortest[name][index], time.process_time() - started)
    return {name: len(contents) / sum(seconds) for name, seconds in shortest.items()}


def _compare(contents: list[bytes], score: Scorer | None) -> list[str]:
    ours, full = (np.stack([way(content) for content in contents]) for way in (_ours, _full))
    pixels = np.abs(ours.astype(np.int16) - full)
    cells = [f"{pixels.mean():.2f}", str(pixels.max())]
    if score is None:
        return [*cells, "-", "-"]
    scores, theirs = score(ours), score(full)
    best = theirs.argmax(1)
    rows = np.arange(len(best))
    difference = np.abs(scores[rows, best] - theirs[rows, best])
    return [*cells, f"{difference.mean():.4f}", f"{difference.max():.4f}"]


def _scorer() -> Scorer | None:
    """Return what gives ImageNet's 1,000 probabilities of pixels (B, S, S, 3); None without weights."""
    if not WEIGHTS.is_file():
        return None
    from safetensors.torch import load_file
    from torchvision.models import mobilenet_v2

    network = mobilenet_v2().eval()
    network.load_state_dict(load_file(WEIGHTS))

    def score(pixels_BSS3: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            probabilities = network(Preprocess(size=SIZE).normalise(torch.tensor(pixels_BSS3))).softmax(1)
        return np.asarray(probabilities, dtype=np.float32)

    return score
