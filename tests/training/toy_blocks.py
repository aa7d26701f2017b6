"""A data set of coloured blocks, prepared as `prepare` does it, and a driver that trains on it in a process of its own.

python tests/training/toy_blocks.py ROOT PHASE THREADS     prints every step, and every line that the phase reports
"""

import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import Advance, NullReporter, Reporter
from aaam_pipeline.datasets.listing import Example, Listing
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.models import bundle
from aaam_pipeline.training.phases import PHASES, read_settings
from aaam_pipeline.training.run import PhasePaths, run_phase

SIZE = 32
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 200, 40),
    "blue": (40, 60, 220),
    "white": (240, 240, 240),
    "sun": (250, 220, 30),
}
COUNTS = {"train": 48, "val": 16, "test": 12}


def picture(rng: np.random.Generator, labels: tuple[str, ...]) -> NDArray[np.uint8]:
    """Draw a block of every label's colour somewhere on a noisy dark ground; `sun` is small."""
    pixels = rng.integers(0, 60, (SIZE, SIZE, 3), dtype=np.uint8)
    for label in labels:
        side = 5 if label == "sun" else 11
        y, x = rng.integers(0, SIZE - side, 2)
        pixels[y : y + side, x : x + side] = COLOURS[label]
    return pixels


def listing(folder: Path, seed: int = 0) -> Listing:
    """Write the pictures of all splits as PNG files; 1 to 4 labels each."""
    rng, names, splits = np.random.default_rng(seed), list(COLOURS), {}
    folder.mkdir(parents=True)
    for split, count in COUNTS.items():
        splits[split] = []
        for number in range(count):
            labels = tuple(str(each) for each in rng.permutation(names)[: rng.integers(1, 5)])
            path = folder / f"{split}_{number:02d}.png"
            stream = io.BytesIO()
            Image.fromarray(picture(rng, labels)).save(stream, "PNG")
            path.write_bytes(stream.getvalue())
            splits[split].append(Example(path.stem, path, labels))
    return Listing(tuple(names), splits)


def make_prepared(out: Path, seed: int = 0) -> Path:
    prepare("toy", listing(out.parent / f"raw{seed}", seed), out, SIZE, NullReporter())
    return out


def params(**phase: Any) -> dict[str, Any]:
    """Return the tiny params.yaml; `phase` replaces settings in all three phases, `common` in it those of `train`."""
    of_train = {"batch_size": 16, "precision": "fp32", "runtime_form": "none"} | phase.pop("common", {})
    rates = {"features": 1e-3, "attention": 1e-3, "classifier": 1e-3}
    common = {"epochs": 2, "patience": 5, "lr": rates, "margin": 0.2} | phase
    return {
        "toy": {
            "k": 2,
            "preprocess": {"size": SIZE},
            "model": {
                "backbone": "vgg_small",
                "weights": "none",
                "batch_norm": "train",
                "attention": {"filters": "depthwise"},
            },
            "train": of_train,
            "phases": {"bce": common, "joint": common, "hard": common, "warp": common | {"margin": 1.0}},
            "refit": False,
        }
    }


def write_params(root: Path, **phase: Any) -> Path:
    (root / "params.yaml").write_text(yaml.safe_dump(params(**phase)))
    return root / "params.yaml"


def paths(root: Path, phase: str, prepared: Path | None = None) -> PhasePaths:
    after = PHASES[phase].after
    return PhasePaths(
        prepared or root / "prepared",
        root / "models" / after if after else None,
        root / "models" / phase,
        root / "scores" / f"{phase}.parquet",
        root / "plots" / f"{phase}.csv",
        root / "paths" / f"{phase}.parquet",
        root / "validation" / f"{phase}.json",
        root / "work" / phase,
    )


def run(params_path: Path, phase: str, at: PhasePaths, report: Reporter, device: str = "cpu") -> None:
    """Run a phase with the settings of a params.yaml."""
    run_phase("toy", phase, read_settings(ParamsFile.read(params_path), "toy", phase), at, device, report)


class Lines(NullReporter):
    """Keeps, and optionally prints at once, every line that is reported."""

    def __init__(self, echo: bool = False) -> None:
        self.lines: list[str] = []
        self.echo = echo

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        def advance(count: int) -> None:
            nonlocal done
            done += count
            if self.echo:
                print(f"step {title} {done}/{total}", flush=True)

        yield advance

    def info(self, text: str) -> None:
        self.lines.append(text)
        if self.echo:
            print(text, flush=True)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with `count` threads: more than one slow so small a network down where other programs run."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(root: Path, phase: str, prepared: Path | None = None, cores: int = 1, **changes: Any) -> list[str]:
    """Run a phase with these settings, as `params` takes them, and return what it reported."""
    report = Lines()
    with threads(cores):
        run(write_params(root, **changes), phase, paths(root, phase, prepared), report)
    return report.lines


def weights(root: Path, phase: str = "bce") -> dict[str, torch.Tensor]:
    return bundle.load(root / "models" / phase, torch.device("cpu")).network.state_dict()


def weights_bytes(root: Path, phase: str = "bce") -> bytes:
    return b"".join((root / "models" / phase / f"{part}.safetensors").read_bytes() for part in ("model", "head"))


def curve(root: Path, phase: str = "bce") -> list[dict[str, str]]:
    with (root / "plots" / f"{phase}.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with threads(int(sys.argv[3])):
        run(folder / "params.yaml", sys.argv[2], paths(folder, sys.argv[2]), Lines(echo=True))
