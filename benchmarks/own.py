"""`aaam-pipe train` on few photographs, beside a linear layer on the frozen features of the same network.

Words are drawn from those of Corel-5k, and from the VOC classes of `everyday`; then photographs that have one of them
or are known to have none. The network starts from EfficientNet-Lite2 with ImageNet's weights, and on Corel-5k from the
starter, too, where it is installed. The linear layer is a logistic regression, its penalty chosen by cross-validation;
it learns from all photographs that the command learns from, and both are tested on the same others: the command's
bundle as `annotate` runs it. The command itself gets a few of these to test with, as it has of 240 photographs.

Shapes: N photographs, L words, D embedding.
"""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from aaam_pipeline import metrics
from aaam_pipeline.annotate import backends
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.folder.tables import read_labels, read_splits
from aaam_pipeline.datasets.listing import SPLITS
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.datasets.prepared import Split, read_split
from aaam_pipeline.models import Network, bundle
from aaam_pipeline.models.library import STARTER_FOLDER, has_starter
from aaam_pipeline.training.own import train_own
from aaam_pipeline.training.own_data import OwnData, read_listing
from aaam_pipeline.training.own_settings import Start, start_from
from benchmarks.material import SHARED
from benchmarks.table import Report

MINUTES = (38.0, 63.0)
TRAIN, TEST, OWN_TEST, WORDS = 200, 500, 40, 5
# of the photographs, those that have one of the words
WITH_WORDS = 0.85
LEAST = {"train": 60, "test": 8}
BATCH = 32
PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
# without `person`, which is on half of all photographs
VOC = [
    "airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "couch", "cow", "dining table",
    "dog", "horse", "motorcycle", "potted plant", "sheep", "train", "tv",
]  # fmt: skip
WEIGHTS = SHARED / "weights" / "tf_efficientnet_lite2_imagenet.safetensors"

Matrix = NDArray[np.floating]


class Labelled(NamedTuple):
    """A data set: photographs below `folder`, in `train` or `test`; `targets_NL`: 1 yes, 0 no, -1 unknown."""

    folder: Path
    paths: list[str]
    split_N: NDArray[np.str_]
    words: list[str]
    targets_NL: NDArray[np.int8]


def run(report: Report, full: bool) -> None:
    """Measure several draws of words and photographs."""
    add = report.table(
        f"Mean AP on {TEST} other photographs, {TRAIN} to learn from, {WORDS} words",
        ["words", "from", "linear layer", "command", "difference", "its way", "minutes"],
    )
    seeds = range(1, 6 if full else 4)
    starts: dict[str, tuple[str, ...]] = {"corel5k": ("ImageNet", "starter"), "everyday": ("ImageNet",)}
    for name, read in {"corel5k": corel5k, "everyday": everyday}.items():
        labelled = read()
        for start in starts[name]:
            if start == "starter" and not has_starter():
                report.note("no starter is installed: its rows are left out")
                continue
            begin = start_from(STARTER_FOLDER if start == "starter" else WEIGHTS, None, None)
            differences = []
            for seed in seeds:
                with TemporaryDirectory() as place:
                    drawn, out = _draw(labelled, seed, Path(place)), Path(place) / "made"
                    prepared = _prepared(drawn.all, begin, Path(place))
                    linear = _linear(prepared, begin)
                    started = time.monotonic()
                    made = train_own(drawn.own, begin, out, "own", NullReporter(), device="cpu")
                    minutes = (time.monotonic() - started) / 60
                    own = _annotated(out, prepared["test"])
                words = ", ".join(word.word for word in made.words)
                differences.append(100 * (own - linear))
                add([f"{name}: {words}", start, f"{100 * linear:.1f}", f"{100 * own:.1f}",
                     f"{differences[-1]:+.1f}", made.chosen, f"{minutes:.1f}"])  # fmt: skip
            mean, error = np.mean(differences), np.std(differences, ddof=1) / len(differences) ** 0.5
            report.note(f"{name} from {start}: {mean:+.1f} ± {error:.1f} (standard error of {len(differences)} draws)")


def corel5k() -> Labelled:
    """Return Corel-5k's training photographs; every eighth is for testing."""
    folder = SHARED / "data" / "corel5k"
    words = (folder / "labels" / "words").read_text().split()
    files = {file.stem: file.relative_to(folder / "images").as_posix() for file in folder.glob("images/**/*.jpeg")}
    rows = [line.split() for line in (folder / "labels" / "training_label").read_text().splitlines()]
    rows = [row for row in rows if row and row[0] in files]
    targets_NL = np.zeros((len(rows), len(words)), np.int8)
    for row, (_, *numbers) in enumerate(rows):
        targets_NL[row, [int(number) - 1 for number in numbers]] = 1
    split_N = np.where(np.arange(len(rows)) % 8, "train", "test")
    return Labelled(folder / "images", [files[row[0]] for row in rows], split_N, words, targets_NL)


def everyday() -> Labelled:
    """Return the photographs of `everyday` and their VOC classes."""
    folder = SHARED / "data" / "everyday"
    table, said = read_labels(folder / "labels.csv.gz"), read_splits(folder / "splits.csv")
    targets_NL = np.full((len(table.images), len(table.labels)), -1, np.int8)
    targets_NL[table.rows_P, table.columns_P] = table.values_P
    columns = [table.labels.index(word) for word in VOC]
    split_N = np.array(["test" if said[image] == "val" else "train" for image in table.images])
    return Labelled(folder / "images", table.images, split_N, VOC, targets_NL[:, columns])


class Drawn(NamedTuple):
    """`own`: what the command gets, `all`: the same with all photographs that test."""

    own: OwnData
    all: OwnData


def _draw(labelled: Labelled, seed: int, place: Path) -> Drawn:
    """Draw words and photographs, as many with each word; write the tables of labels and splits."""
    random, targets_NL = np.random.default_rng(seed), labelled.targets_NL
    is_train_N = labelled.split_N == "train"
    often = [
        column
        for column in range(len(labelled.words))
        if (targets_NL[is_train_N, column] == 1).sum() >= LEAST["train"]
        and (targets_NL[~is_train_N, column] == 1).sum() >= LEAST["test"]
    ]
    chosen = np.sort(random.choice(often, WORDS, replace=False))
    own_NL = targets_NL[:, chosen]
    known_N = (own_NL >= 0).all(1)
    splits: dict[int, str] = {}
    for split, count in (("train", TRAIN), ("test", TEST)):
        inside_N = known_N & (labelled.split_N == split)
        rows: dict[int, str] = {}
        for column in range(WORDS):
            having = random.permutation(np.flatnonzero(inside_N & (own_NL[:, column] == 1)))
            rows |= dict.fromkeys(having[: round(WITH_WORDS * count / WORDS)].tolist(), split)
        without = random.permutation(np.flatnonzero(inside_N & (own_NL != 1).all(1)))
        rows |= dict.fromkeys(without[: count - len(rows)].tolist(), split)
        splits |= dict(list(rows.items())[:count])
    # a fifth of what is learnt from validates
    learnt = random.permutation([row for row, split in splits.items() if split == "train"])
    splits |= dict.fromkeys(learnt[: len(learnt) // 5].tolist(), "val")
    words = [labelled.words[column] for column in chosen]
    others = random.permutation([row for row, split in splits.items() if split == "test"])[OWN_TEST:].tolist()
    made = []
    for name, left_out in (("own", set(others)), ("all", set())):
        drawn = [row for row in splits if row not in left_out]
        labels, table = place / f"{name}.csv", place / f"{name}-splits.csv"
        _write(labels, ["image", *words], ([labelled.paths[row], *own_NL[row]] for row in drawn))
        _write(table, ["image", "split"], ([labelled.paths[row], splits[row]] for row in drawn))
        made.append(OwnData(labelled.folder, labels, table))
    return Drawn(*made)


def _write(path: Path, heading: list[str], rows: Iterator[list[Any]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([heading, *rows])


def _prepared(data: OwnData, start: Start, place: Path) -> dict[str, Split]:
    listing, made = read_listing(data, "linear", 1, NullReporter()), place / "prepared"
    prepare("linear", listing, made, start.preprocess.size, NullReporter(), start.preprocess.interpolation)
    return {split: read_split(made, split) for split in SPLITS}


def _annotated(model: Path, test: Split) -> float:
    """Return the mean AP of a bundle, as `annotate` runs it."""
    backend = backends.create("auto", model, "cpu")
    parts = [
        backend.start(test.pixels_NSS3[first : first + BATCH])().scores_BL
        for first in range(0, len(test.pixels_NSS3), BATCH)
    ]
    return float(metrics.average_precision(np.concatenate(parts), test.targets_NL).mean())


def _linear(prepared: dict[str, Split], start: Start) -> float:
    """Return the mean AP of a linear layer on the features of the network as it starts."""
    network = (
        bundle.load(start.origin, torch.device("cpu")).network
        if start.origin
        else Network(start.model, 1, start.preprocess.size).eval()
    )
    features: dict[str, Matrix] = {}
    targets = {split: found.targets_NL for split, found in prepared.items()}
    for split, found in prepared.items():
        with torch.no_grad():
            parts = [
                network.embed(start.preprocess.normalise(torch.tensor(found.pixels_NSS3[first : first + BATCH])))
                for first in range(0, len(found.pixels_NSS3), BATCH)
            ]
        features[split] = torch.cat(parts).numpy()
    learnt_ND = np.concatenate([features["train"], features["val"]])
    learnt_NL = np.concatenate([targets["train"], targets["val"]])
    columns = range(learnt_NL.shape[1])

    def model(penalty: float) -> LogisticRegression:
        return LogisticRegression(C=penalty, max_iter=1000)

    def judged(penalty: float) -> float:
        return float(
            np.mean(
                [
                    cross_val_score(model(penalty), learnt_ND, learnt_NL[:, each], cv=4, scoring="average_precision")
                    for each in columns
                ]
            )
        )

    best = max(PENALTIES, key=judged)
    scores = [model(best).fit(learnt_ND, learnt_NL[:, each]).decision_function(features["test"]) for each in columns]
    return float(metrics.average_precision(np.stack(scores, 1), targets["test"]).mean())
