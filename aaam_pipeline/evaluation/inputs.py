"""What a report is about: a data set's scores files, its ablation and its prepared pictures, found and summed up.

Shapes: N images, L labels.

    scores/<data set>/<method>.parquet           the phases of training, and any method of your own
    scores/<data set>/compare/<method>.parquet   the compared methods
    reports/<data set>/ablation.csv              variant, seed, split and the metrics: our network with parts left out
    data/prepared/<data set>                     for what the pictures are like (Table 1, co-occurrence)
    params.yaml                                  whether the network has the attention layer: how its phases are called
"""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE
from aaam_pipeline.datasets.listing import SPLITS
from aaam_pipeline.datasets.prepared import read_labels, read_manifest, read_split
from aaam_pipeline.evaluation.ablation import Spread, read_ablation
from aaam_pipeline.evaluation.evaluate import QUERY_DEPTH, check_alike, evaluate_scaled
from aaam_pipeline.evaluation.paper import paper
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.formats.scores import ScoredSplit, read_scores
from aaam_pipeline.metrics.calibration import Reliability

COMPARE = "compare"
SCALED = "Scaled: scores divided by a label's maximum over training or validation images, chosen on validation by F1."


class Sources(NamedTuple):
    """Where inputs lie: folders with one folder a data set, the project's by default; and the settings, if any."""

    scores: Path = HERE.scores_root
    prepared: Path = HERE.prepared_root
    ablations: Path = HERE.reports_root
    params: ParamsFile | None = None


class ScoredMethod(NamedTuple):
    """A scores file, summed up: metrics over all labels, `ap_L`, and reliability before and after calibration.

    `scaled`: the metrics of scores divided by each label's maximum over the split `scaled_by`; empty without one.
    """

    name: str
    title: str
    file: Path
    metrics: dict[str, float]
    ap_L: NDArray[np.float64]
    raw: Reliability
    calibrated: Reliability | None
    scaled: dict[str, float] = {}  # noqa: RUF012
    scaled_by: str = ""


class Statistics(NamedTuple):
    """What the ground truth is like.

    `lost`: images that the copy lacks or that cannot be decoded; `per_image`: labels, mean, fewest and most;
    `known_L`: images of which a label is known.
    """

    images: int
    train: int
    test: int
    lost: int
    per_image: tuple[float, int, int]
    train_L: NDArray[np.intp]
    known_L: NDArray[np.intp]


class Inputs(NamedTuple):
    """All that a report says about a data set. `pairs` are the two-label queries of `compared`.

    `test_L`, `known_L`: test images that hold a label, and of which it is known; `judged_L`: whether means are over it.
    `together_LL` counts the images that hold both labels, a label itself on the diagonal; `beside_LL` those that hold
    the label of the row and of which that of the column is known, None where all are known.
    """

    name: str
    labels: list[str]
    k: int
    methods: list[ScoredMethod]
    baseline: ScoredMethod
    ours: ScoredMethod
    pairs: list[metrics.PairQueries]
    ablation: dict[str, Spread]
    statistics: Statistics | None
    test_L: NDArray[np.intp]
    known_L: NDArray[np.intp]
    judged_L: NDArray[np.bool_]
    together_LL: NDArray[np.intp]
    beside_LL: NDArray[np.intp] | None
    sources: Sources

    @property
    def compared(self) -> list[ScoredMethod]:
        """Return the baseline and ours, or the one method that both are."""
        return [self.baseline, self.ours] if self.ours is not self.baseline else [self.ours]

    @property
    def title(self) -> str:
        """Return the paper's name of the data set, or ours."""
        printed = paper().printed(self.name)
        return printed.title if printed else self.name


def datasets(sources: Sources) -> list[str]:
    """Return the data sets that have scores.

    Raises:
        UsageError: there are none.
    """
    files = [path for level in ("*", f"*/{COMPARE}") for path in sources.scores.glob(f"{level}/*.parquet")]
    found = {path.relative_to(sources.scores).parts[0] for path in files}
    if not found:
        raise UsageError(f"no scores below {sources.scores}: `dvc repro` makes them, or name a folder with --scores")
    return sorted(found)


def read(name: str, sources: Sources, baseline: str | None = None, ours: str | None = None) -> Inputs:
    """Read all that there is about a data set; the two methods to be compared are `bce` and `hard` by default.

    Raises:
        UsageError: it has no scores, or not those of a method named.
        IntegrityError: a file is damaged, or the files are not of the same images and labels.
        DatasetError: the prepared pictures are damaged.
    """
    files = _files(sources.scores / name)
    if not files:
        known = ", ".join(datasets(sources))
        raise UsageError(f"no scores of {name}: no {sources.scores / name}/*.parquet; known: {known}")
    chosen = _choose(files, baseline, "bce", 0), _choose(files, ours, "hard", -1)
    attention = _has_attention(sources.params, name)
    first, methods, pairs = next(iter(files)), {}, {}
    truth = read_scores(files[first])
    for method, file in files.items():
        split = read_scores(file)
        check_alike({first: truth, method: split})
        methods[method] = _measure(method, title(method, attention), file, split)
        if method in chosen:
            calibrated_NL = calibrate(split.scores_NL, split.calibration)
            pairs[method] = metrics.pair_queries(calibrated_NL, split.targets_NL, QUERY_DEPTH)
    test_NL = truth.targets_NL
    statistics, all_NL = _statistics(sources.prepared / name, truth.labels) or (None, test_NL)
    held_NL, known_NL = ((all_NL >= least).astype(np.intp) for least in (1, 0))
    return Inputs(
        name, truth.labels, truth.k, list(methods.values()), methods[chosen[0]], methods[chosen[1]],
        [pairs[each] for each in dict.fromkeys(chosen)], read_ablation(sources.ablations / name / "ablation.csv"),
        statistics, (test_NL > 0).sum(0), (test_NL >= 0).sum(0), metrics.judged(test_NL),
        held_NL.T @ held_NL, None if known_NL.all() else held_NL.T @ known_NL, sources,
    )  # fmt: skip


def title(method: str, attention: bool = True) -> str:
    """Return the row of a method: the paper's name for it, or its own."""
    if method in paper().phases:
        phase = paper().phases[method]
        return phase.title if attention else phase.plain
    return paper().methods.get(method.removeprefix(f"{COMPARE}/"), method)


def scaled_title(row: str) -> str:
    """Return the row of a method's scaled scores."""
    return f"{row}, scaled"


def with_scaled(rows: Iterable[str], known: Collection[str]) -> list[str]:
    """Return rows in their order, each once and followed by that of its scaled scores where there is one."""
    return list(
        dict.fromkeys(
            each for row in rows for each in (row, scaled_title(row)) if each == row or scaled_title(row) in known
        )
    )


def _files(folder: Path) -> dict[str, Path]:
    """Return method -> file: the phases of training, then others by name, then the compared methods."""
    order = {phase: position for position, phase in enumerate(paper().phases)}
    own = sorted(folder.glob("*.parquet"), key=lambda path: (order.get(path.stem, len(order)), path.stem))
    rows = list(paper().methods)
    compared = sorted(
        (folder / COMPARE).glob("*.parquet"),
        key=lambda path: (rows.index(path.stem) if path.stem in rows else len(rows), path.stem),
    )
    return {path.stem: path for path in own} | {f"{COMPARE}/{path.stem}": path for path in compared}


def _choose(files: Iterable[str], named: str | None, usual: str, else_index: int) -> str:
    known = list(files)
    if named is None:
        return usual if usual in known else known[else_index]
    for each in (named, f"{COMPARE}/{named}"):
        if each in known:
            return each
    raise UsageError(f"no scores of a method {named!r}; known: {', '.join(known)}")


def _has_attention(params: ParamsFile | None, name: str) -> bool:
    """Return whether the trained network has the attention layer; a data set that params.yaml does not know has it.

    Raises:
        ParamsError: the data set's block is damaged.
    """
    if params is None or name not in params.datasets:
        return True
    attention = params.section(f"{name}.model", dict[str, Any]).get("attention") or {}
    return bool(attention.get("filters") != "none")


def _measure(name: str, row: str, file: Path, split: ScoredSplit) -> ScoredMethod:
    targets_NL, calibrated_NL = split.targets_NL, calibrate(split.scores_NL, split.calibration)
    values = metrics.evaluate(split.scores_NL, targets_NL, split.k)
    values["ece"] = metrics.calibration_error(calibrated_NL, targets_NL)
    for size in (1, 2):
        values[f"retrieval_map_{size}"], _ = metrics.retrieval_map(calibrated_NL, targets_NL, size)
    ap_L = metrics.average_precision(split.scores_NL, targets_NL)
    raw = metrics.reliability(split.scores_NL, targets_NL)
    after = metrics.reliability(calibrated_NL, targets_NL) if split.calibration else None
    if split.calibration:
        values["ece_raw"] = metrics.calibration_error(split.scores_NL, targets_NL)
    by = split.scaling.split if split.scaling else ""
    return ScoredMethod(name, row, file, values, ap_L, raw, after, evaluate_scaled(split), by)


def _statistics(prepared: Path, labels: list[str]) -> tuple[Statistics, NDArray[np.int8]] | None:
    """Return what the ground truth of all splits is like, and the ground truth; None where nothing is prepared."""
    if not prepared.is_dir():
        return None
    if read_labels(prepared) != labels:
        raise IntegrityError(f"{prepared} has other labels than the scores; run prepare and training again")
    manifest = read_manifest(prepared)
    train_NL, val_NL, test_NL = (read_split(prepared, split).targets_NL for split in SPLITS)
    all_NL = np.concatenate([train_NL, val_NL, test_NL])
    per_image_N = (all_NL > 0).sum(1)
    statistics = Statistics(
        len(all_NL), len(train_NL) + len(val_NL), len(test_NL),
        manifest.missing + sum(split.bad for split in manifest.splits.values()),
        (float(per_image_N.mean()), int(per_image_N.min()), int(per_image_N.max())),
        (train_NL > 0).sum(0) + (val_NL > 0).sum(0), (all_NL >= 0).sum(0),
    )  # fmt: skip
    return statistics, all_NL
