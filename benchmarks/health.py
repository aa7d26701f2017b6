"""How often `aaam-pipe health` raises a false alarm, and which changes of a library raise one: limits of its checks.

The starter's scores of Corel-5k, which consists of 50 themes of 90 photographs. Sound: random halves, compared with
each other and with the whole; growth by themes that are new. Faults: a tenth of the photographs, spoiled, were added to
the others. Last: keywords of `everyday`, of which a share is wrong. Shapes: N photographs, L labels.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from aaam_pipeline.annotate import backends
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.curation.health import HealthCheck, check
from aaam_pipeline.curation.library_counts import LibraryCounts, count
from aaam_pipeline.curation.snapshots import LibrarySnapshot
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.formats.decisions import resolve
from aaam_pipeline.models.inference import Backend
from aaam_pipeline.models.library import STARTER_FOLDER
from benchmarks import review
from benchmarks.material import SHARED
from benchmarks.scored_library import ScoredLibrary, Scores
from benchmarks.starter_material import pixels_of
from benchmarks.table import Report

MINUTES = (2.0, 6.0)
WRONG = (0.0, 0.05, 0.07, 0.15)
SPOILED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "none": lambda image: image,
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "a quarter as bright": lambda image: ImageEnhance.Brightness(image).enhance(0.25),
    "red and blue exchanged": lambda image: Image.merge("RGB", image.split()[::-1]),
    "upside down": lambda image: image.rotate(180),
    "blurred by 4 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(4)),
    "40 x 30 pixels": lambda image: image.resize((40, 30)),
}


def run(report: Report, full: bool = False) -> None:
    """Compare libraries with what they were before."""
    backend = backends.create("openvino", STARTER_FOLDER, "cpu")
    paths = sorted((SHARED / "data" / "corel5k" / "images").rglob("*.jp*g"))[:: 1 if full else 4]
    score_NL = _scores(backend, paths)
    theme_N = np.array([path.stem[:-3] for path in paths])
    repeats = 30 if full else 10

    def counted(score_NL: Scores, build: str) -> LibraryCounts:
        library = ScoredLibrary(backend.info.vocabulary, np.asarray(backend.info.thresholds), score_NL)
        facts = LibrarySnapshot(build, "starter", library.labels, len(score_NL), 0, len(score_NL), 0)
        return count(library, resolve([]), facts, NullReporter())

    def compared(now_NL: Scores, before_NL: Scores) -> dict[str, HealthCheck]:
        return {each.name: each for each in check(counted(now_NL, "now"), counted(before_NL, "before").snapshot)}

    add = report.table(
        "sound libraries: alarms, and the largest share of labels that drifted",
        ["compared", "times", "alarms", "drifted, most", "drifted, median", "pairs odd, most"],
    )
    halves = [np.random.default_rng(seed).permutation(len(paths)) for seed in range(repeats)]
    middle = len(paths) // 2
    _row(add, "random halves", [compared(score_NL[each[:middle]], score_NL[each[middle:]]) for each in halves])
    _row(add, "a half, then all", [compared(score_NL, score_NL[each[:middle]]) for each in halves])
    themes = np.unique(theme_N)
    for new in (25, 10, 5, 3):
        chosen = [np.random.default_rng(seed).permutation(themes)[new:] for seed in range(repeats)]
        grown = [compared(score_NL, score_NL[np.isin(theme_N, each)]) for each in chosen]
        _row(add, f"{new} of {len(themes)} themes are new", grown)
    add = report.table("a tenth of the photographs is added, spoiled", ["how", "labels that drifted", "alarm"])
    tenth = np.arange(0, len(paths), 10)
    rest_NL = np.delete(score_NL, tenth, 0)
    for name, spoil in SPOILED.items():
        spoiled_NL = _spoiled(backend, [paths[row] for row in tenth], spoil)
        drift = compared(np.concatenate([rest_NL, spoiled_NL]), rest_NL)["drift"]
        add([name, f"{drift.value or 0:.0%}", "" if drift.passed else "yes"])
    keywords(report, repeats)


def keywords(report: Report, repeats: int) -> None:
    """Check the true keywords of `everyday`'s validation split, some of them replaced by other words."""
    judged = review.everyday()
    facts = LibrarySnapshot("now", "starter", judged.labels, len(judged.score_NL), 0, len(judged.score_NL), 0)
    add = report.table(
        "keywords of which some are wrong (mean and standard deviation)",
        ["wrong", "times", "wrong-keywords", "alarms", "forgotten-keywords"],
    )
    for share in WRONG:
        wrong, forgotten = [], []
        for seed in range(repeats):
            _, tags = review.keywords_with_errors(judged, np.random.default_rng(seed), share)
            found = {each.name: each for each in check(count(judged, tags, facts, NullReporter()), None)}
            wrong.append(found["wrong-keywords"])
            forgotten.append(found["forgotten-keywords"].value or 0.0)
        values = [each.value or 0.0 for each in wrong]
        alarms = sum(not each.passed for each in wrong)
        spread = f"{np.mean(values):.3f} ± {np.std(values):.3f}"
        add([f"{share:.0%}", str(repeats), spread, str(alarms), f"{np.mean(forgotten):.1f}"])


def _row(add: Callable[[list[str]], None], name: str, found: list[dict[str, HealthCheck]]) -> None:
    drifted = [each["drift"].value or 0.0 for each in found]
    odd = max(each["together"].value or 0.0 for each in found)
    alarms = sum(not all(check.passed for check in each.values()) for each in found)
    add([name, str(len(found)), str(alarms), f"{max(drifted):.0%}", f"{np.median(drifted):.0%}", f"{odd:.2%}"])


def _scores(backend: Backend, paths: list[Path]) -> Scores:
    found = [backend.start(pixels)().scores_BL for pixels in pixels_of(paths, backend.info)]
    return np.asarray(calibrate(np.concatenate(found), backend.info.calibration), np.float64)


def _spoiled(backend: Backend, paths: list[Path], spoil: Callable[[Image.Image], Image.Image]) -> Scores:
    with tempfile.TemporaryDirectory() as folder:
        made = [Path(folder, f"{number}.jpg") for number in range(len(paths))]
        for source, target in zip(paths, made, strict=True):
            with Image.open(source) as image:
                spoil(image.convert("RGB")).save(target, quality=90)
        return _scores(backend, made)
