"""Photographs and words that `benchmarks.teach` measures with.

Shapes: N photographs, L labels, D embedding.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.annotate import backends
from aaam_pipeline.index.vectors import unit
from aaam_pipeline.models.library import STARTER_FOLDER
from benchmarks.material import SHARED
from benchmarks.starter_material import COREL_NAMES, everyday_labels, pixels_of

COREL, EVERYDAY = SHARED / "data" / "corel5k", SHARED / "data" / "everyday"
LEAST_SHOWN = 40

Floats = NDArray[np.float32]


class Material(NamedTuple):
    """Photographs: unit embeddings (N, D), and what is known of words (N, L): 1, 0 or -1."""

    name: str
    unit_ND: Floats
    targets_NL: NDArray[np.int8]
    words: list[str]
    measured: list[int]


def corel() -> Material:
    """Return Corel-5k and words that the starter has not, under any name: half of those with enough photographs.

    The other half chose the constants.
    """
    backend = backends.create("openvino", STARTER_FOLDER, "cpu")
    names = (COREL / "labels" / "words").read_text().split()
    lines = [
        line.split()
        for file in ("training_label", "test_label")
        for line in (COREL / "labels" / file).read_text().splitlines()
    ]
    files = {path.stem: path for path in (COREL / "images").glob("*/*.jp*g")}
    targets_NL = np.zeros((len(lines), len(names)), np.int8)
    for row, (_, *words) in enumerate(lines):
        targets_NL[row, [int(word) - 1 for word in words]] = 1
    known = {*backend.info.vocabulary, *(name for others in COREL_NAMES.values() for name in others)}
    enough = [
        word for word in range(len(names)) if names[word] not in known and targets_NL[:, word].sum() >= LEAST_SHOWN
    ]
    unit_ND = embedded(backend, [files[line[0]] for line in lines])
    random = np.random.default_rng(7)
    random.shuffle(enough)
    return Material("Corel-5k", unit_ND, targets_NL, names, enough[len(enough) // 2 :])


def everyday() -> Material:
    """Return `everyday` and 30 of the starter's words; 20 others chose the constants."""
    backend = backends.create("openvino", STARTER_FOLDER, "cpu")
    labels = list(backend.info.vocabulary)
    paths, targets_NL = everyday_labels(EVERYDAY, labels, ("train", "val"))
    enough = [word for word in range(len(labels)) if (targets_NL[:, word] == 1).sum() >= 150]
    enough = [word for word in enough if (targets_NL[:, word] == 0).sum() >= 1000]
    random = np.random.default_rng(3)
    random.shuffle(enough)
    return Material("everyday, rows withheld", embedded(backend, paths), targets_NL, labels, enough[20:50])


def embedded(backend: Any, paths: list[Path]) -> Floats:
    """Return unit embeddings (N, D)."""
    found = [backend.start(pixels)().embedding_BD for pixels in pixels_of(paths, backend.info)]
    return unit(np.concatenate(found))
