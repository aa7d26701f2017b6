"""A small project folder for reports: scores of made-up methods, a prepared data set, an ablation."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.core.project import HERE
from aaam_pipeline.datasets.listing import Example, Listing
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.evaluation import inputs
from aaam_pipeline.evaluation.inputs import Inputs, Sources
from aaam_pipeline.evaluation.paper_tables import results
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.formats.scores import ScoredSplit, write_scores

LABELS = ["sky", "<sea>", "traffic light", "never", "a_b|c"]
COUNTS = {"train": 30, "val": 10, "test": 40}
HEADER = "variant,seed,split,precision_at_k,recall_at_k,map_at_10,map,n_plus\n"


def targets(split: str) -> np.ndarray:
    rng = np.random.default_rng(len(split))
    drawn = (rng.random((COUNTS[split], len(LABELS))) < [0.7, 0.5, 0.3, 0, 0.4]).astype(np.uint8)
    drawn[:, 0] |= drawn.sum(1) == 0
    return drawn


def scored(strength: float, calibration: Calibration | None = None, images: int = COUNTS["test"]) -> ScoredSplit:
    """Make scores that are better the higher `strength` is, of the same images and truth."""
    truth = targets("test")[:images]
    logits = np.random.default_rng(7).normal(size=truth.shape) + strength * (truth - 0.5)
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return ScoredSplit([f"test/{number}" for number in range(images)], scores, truth, LABELS, 2, calibration)


def write(folder: Path, dataset: str, **methods: float) -> None:
    """Write scores of methods, as name=strength; `compare_knn` is the file compare/knn."""
    for name, strength in methods.items():
        path = folder / "scores" / dataset / f"{name.replace('compare_', 'compare/')}.parquet"
        write_scores(path, scored(strength))


def make_prepared(folder: Path, dataset: str, missing: int = 0, unknown: tuple[str, ...] = ()) -> None:
    """Prepare `targets`; of the labels `unknown` the first is never known to be absent, others of each other image."""
    splits = {}
    for split in COUNTS:
        names = [tuple(np.array(LABELS)[row > 0].tolist()) for row in targets(split)]
        splits[split] = [
            Example(f"{split}/{number}", folder / f"{split}{number}.png", each, _absent(each, number, unknown))
            for number, each in enumerate(names)
        ]
    blank = io.BytesIO()
    Image.new("RGB", (16, 16)).save(blank, "BMP")
    for examples in splits.values():
        for example in examples:
            example.path.write_bytes(blank.getvalue())
    listing = Listing(tuple(LABELS), splits, missing=("gone",) * missing)
    prepare(dataset, listing, folder / "data" / "prepared" / dataset, 16, NullReporter())


def _absent(there: tuple[str, ...], number: int, unknown: tuple[str, ...]) -> tuple[str, ...] | None:
    left_out = set(unknown[:1] if number % 2 else unknown)
    return tuple(each for each in LABELS if each not in there and each not in left_out) if unknown else None


def make_ablation(folder: Path, dataset: str, rows: str) -> None:
    path = folder / "reports" / dataset
    path.mkdir(parents=True, exist_ok=True)
    (path / "ablation.csv").write_text(HEADER + rows)


def read(dataset: str = "scenes", **chosen: str) -> Inputs:
    """Read what a report needs of the project in the working folder."""
    params = ParamsFile.read(HERE.params) if HERE.params.is_file() else None
    return inputs.read(dataset, Sources(params=params), **chosen)


def rows(report: Inputs) -> dict[str, list[str]]:
    """Return the rows of the results by their titles."""
    return {row[0]: row[1:] for row in results(report).rows}
