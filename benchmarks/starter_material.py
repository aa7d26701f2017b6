"""Photographs that the starter is measured on, as `annotate` reads and scores them: for `benchmarks.starter`.

Shapes: N photographs, L labels, W words.
"""

import csv
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from aaam_pipeline.annotate import inputs
from aaam_pipeline.annotate.reader import read
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.models.inference import Backend
from aaam_pipeline.models.info import BundleInfo
from benchmarks.material import SHARED

Scores = NDArray[np.floating]
Targets = NDArray[np.int8]

BATCH = 32
# sources of `everyday` with photographs of COCO
COCO_SOURCES = ("coco", "coco128", "sports")
# labels that Corel-5k has under another name; words of the same name are taken, too
COREL_NAMES = {
    "airplane": ("plane",),
    "bird": ("birds",),
    "boat": ("boats",),
    "building": ("buildings",),
    "car": ("cars",),
    "chair": ("chairs",),
    "flower": ("flowers",),
    "horse": ("horses",),
    "painting": ("paintings",),
    "person": ("people",),
    "plant": ("plants",),
    "railway": ("railroad", "tracks"),
    "rock": ("rocks",),
    "sea": ("ocean",),
    "staircase": ("stairs",),
    "store": ("shops",),
    "swimming pool": ("pool",),
    "table": ("tables",),
    "wave": ("waves",),
}


class Scored(NamedTuple):
    """Photographs, their calibrated scores (N, L), and targets (N, L): 1 yes, 0 no, -1 unknown."""

    paths: list[Path]
    scores_NL: Scores
    targets_NL: Targets


def everyday_val(root: Path, labels: list[str]) -> tuple[list[Path], Targets, slice]:
    """Return the photographs of `everyday` that were not trained on, and their targets."""
    return *everyday_labels(root, labels, ("val",)), slice(None)


def everyday_labels(root: Path, labels: list[str], splits: Collection[str]) -> tuple[list[Path], Targets]:
    """Return the photographs of some splits of `everyday`, and their targets."""
    with (root / "splits.csv").open(encoding="utf8") as file:
        names = [row["image"] for row in csv.DictReader(file) if row["split"] in splits]
    table = pyarrow.csv.read_csv(root / "labels.csv.gz", read_options=pyarrow.csv.ReadOptions(block_size=2**24))
    table = table.filter(pc.is_in(table["image"], pyarrow.array(names)))
    rows, columns = ({name: number for number, name in enumerate(each)} for each in (names, labels))
    targets_NL = np.full((len(names), len(labels)), -1, np.int8)
    for image, label, value in zip(*(table[name].to_pylist() for name in ("image", "label", "value")), strict=True):
        targets_NL[rows[image], columns[label]] = value
    return [root / "images" / name for name in names], targets_NL


def corel_dev(root: Path, labels: list[str]) -> tuple[tuple[list[Path], Targets, list[int]], dict[str, list[str]]]:
    """Return the photographs of Corel-5k's dev split, targets and columns of the shared words, with Corel's names.

    Shared are words that a photograph of the dev split has.
    """
    words = (root / "labels" / "words").read_text().split()
    lines = [line.split() for line in (root / "labels" / "test_label").read_text().splitlines()]
    found = {path.stem: path for path in (root / "images").glob("*/*.jp*g")}
    held = [{words[int(number) - 1] for number in line[1:]} for line in lines]
    present = set().union(*held)
    named = {label: sorted(present & {label, *COREL_NAMES.get(label, ())}) for label in labels}
    shared = {label: names for label, names in named.items() if names}
    targets_NW = np.array([[bool(own & set(names)) for names in shared.values()] for own in held], np.int8)
    return ([found[line[0]] for line in lines], targets_NW, [labels.index(word) for word in shared]), shared


def score(backend: Backend, paths: list[Path], targets_NL: Targets, columns: slice | list[int]) -> Scored:
    """Return photographs with their calibrated scores, some columns of them."""
    found = [backend.start(pixels)().scores_BL for pixels in pixels_of(paths, backend.info)]
    return Scored(paths, calibrate(np.concatenate(found), backend.info.calibration)[:, columns], targets_NL)


def pixels_of(paths: list[Path], info: BundleInfo) -> Iterable[NDArray[np.uint8]]:
    """Yield photographs in batches, decoded as `annotate` does it."""
    made = info.preprocess
    for first in range(0, len(paths), BATCH):
        batch = []
        for path in paths[first : first + BATCH]:
            picture = read(inputs.local_item(path, path.parent), made.size, interpolation=made.interpolation).picture
            if isinstance(picture, ImageError):
                raise picture
            batch.append(picture.pixels_SS3)
        yield np.stack(batch)


def coco_classes() -> list[str]:
    """Return the names of COCO's 80 classes."""
    file = SHARED / "data" / "coco128" / "annotations" / "instances_train2017.json"
    return [each["name"] for each in msgspec.json.decode(file.read_bytes())["categories"]]
