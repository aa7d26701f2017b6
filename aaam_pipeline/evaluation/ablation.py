"""The ablation summed up: every variant against plain BCE, seed by seed, on all labels and on easy and hard ones.

    scores/<data set>/ablation/<variant>/<seed>.parquet     test scores (training/ablation.py)
                                        <seed>.json         validation metrics; none of what trained on them
    reports/<data set>/ablation.csv                         variant, seed, split, and the metrics
    reports/ablation.md                                     tables between the markers of a data set; other text is kept

Shapes: S seeds, L labels, R bootstrap samples of the test images.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.core.artifacts import write_bytes, write_csv
from aaam_pipeline.core.errors import DatasetError, IntegrityError, from_system
from aaam_pipeline.evaluation.bootstrap import margin, resample, resampled_ap, sample_means
from aaam_pipeline.evaluation.paper import paper
from aaam_pipeline.formats.scores import ScoredSplit, read_scores

VARIANTS = {
    "bce-one-phase": "BCE, one phase",
    "bce": "BCE",
    "bce+attention": "BCE + Self-Attention",
    "bce+tm": "BCE + TM",
    "aaam": "AAAM",
}
BASELINE = "bce"
# on fewer test images an average precision is chance
FREQUENT = 10
COLUMNS = {
    "precision_at_k": "P@k",
    "recall_at_k": "R@k",
    "map_at_10": "mAP@10",
    "map": "mAP",
    "n_plus": "N+",
}
INTRODUCTION = """# The ablation

Each variant leaves parts of the model out and is trained with the same seeds, phases, epochs and learning rates. Cells
are means and standard deviations over seeds, in % but for N+. A gain is the mean of the differences to BCE of the same
seed, with its standard error, and in how many seeds it is above 0. An interval of 95 % says what other test images may
change: 1.96 deviations of bootstrap samples. `dvc repro ablation/dvc.yaml` writes the tables.
"""
Metrics = Mapping[str, float]
Column = NDArray[np.float64]


class Measured(NamedTuple):
    """What is in a cell: a value of each seed, and their mean in each bootstrap sample, for an interval."""

    values_S: Column
    samples_R: Column | None = None

    def minus(self, other: "Measured") -> "Measured":
        """Return the paired differences."""
        values_S = self.values_S - other.values_S
        if self.samples_R is None or other.samples_R is None:
            return Measured(values_S)
        return Measured(values_S, self.samples_R - other.samples_R)


def summarise(datasets: Sequence[str], scores: Path, reports: Path, page: Path) -> None:
    """Write `ablation.csv` of every data set, and its tables into `page`, a Markdown file.

    Tables replace what is between the markers of their data set. A data set without markers is appended, and a page
    that does not exist starts with a short introduction.

    Raises:
        DatasetError: there are no scores of a data set's ablation, or not of all variants and seeds.
        IntegrityError: a file is damaged, or `page` has only one of the two markers of a data set.
    """
    text = page.read_text(encoding="utf8") if page.exists() else INTRODUCTION
    for name in datasets:
        runs = _read(scores / name / "ablation")
        test, val = {}, {}
        for variant, of in runs.items():
            test[variant] = {seed: metrics.evaluate(run.scores_NL, run.targets_NL, run.k) for seed, run in of.items()}
            val[variant] = {seed: _validation(scores / name / "ablation" / variant / f"{seed}.json") for seed in of}
        splits: dict[str, Mapping[str, Mapping[int, Metrics]]] = {"val": val, "test": test}
        if not all(found for of in val.values() for found in of.values()):
            del splits["val"]
        rows = [
            [variant, seed, split, *(round(found[column], 6) for column in COLUMNS)]
            for split, variants in splits.items()
            for variant, seeds in variants.items()
            for seed, found in seeds.items()
        ]
        write_csv(reports / name / "ablation.csv", [["variant", "seed", "split", *COLUMNS], *rows])
        tables = [_overall("Test split", test)]
        if "val" in splits:
            tables.append(_overall("Validation split, by which settings were chosen", val))
        ap = {
            variant: 100 * np.stack([metrics.average_precision(run.scores_NL, run.targets_NL) for run in of.values()])
            for variant, of in runs.items()
        }
        tables += [_by_difficulty(ap, _targets(runs)), _with_intervals(ap, runs)]
        text = _with_tables(text, name, "\n".join(tables), page)
    write_bytes(page, text.encode())


def _read(folder: Path) -> dict[str, dict[int, ScoredSplit]]:
    runs = {
        variant: {int(path.stem): read_scores(path) for path in sorted((folder / variant).glob("*.parquet"))}
        for variant in VARIANTS
    }
    seeds = {variant: sorted(of) for variant, of in runs.items()}
    if not seeds[BASELINE] or any(each != seeds[BASELINE] for each in seeds.values()):
        raise DatasetError(f"{folder} does not hold every variant with the same seeds: {seeds}; run its stage `ablate`")
    first, *others = (run for of in runs.values() for run in of.values())
    for each in others:
        same = (each.image_ids, each.labels) == (first.image_ids, first.labels)
        if not same or not np.array_equal(each.targets_NL, first.targets_NL):
            raise DatasetError(f"{folder} holds scores of different images or labels; run its stage `ablate` again")
    return runs


def _validation(path: Path) -> Metrics:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, float])
    except (OSError, msgspec.DecodeError) as error:
        if from_system(error):
            raise
        raise IntegrityError(f"{path} is missing or damaged: {error}") from None


def _overall(title: str, found: Mapping[str, Mapping[int, Metrics]]) -> str:
    columns = {variant: [_column(of, name) for name in COLUMNS] for variant, of in found.items()}
    return _table(f"**{title}**, {len(found[BASELINE])} seeds", list(COLUMNS.values()), columns)


def _targets(runs: Mapping[str, Mapping[int, ScoredSplit]]) -> NDArray[np.int8]:
    """Return the targets (N, L) that all runs have."""
    return next(iter(runs[BASELINE].values())).targets_NL


def _by_difficulty(ap: Mapping[str, Column], targets_NL: NDArray[np.int8]) -> str:
    """Return a table of the mean AP of the easy, middling and hard third of the labels, by the baseline's own AP.

    `ap`: of each variant's seeds and labels, in %, (S, L).
    """
    present = np.flatnonzero(metrics.judged(targets_NL))
    order = present[np.argsort(-ap[BASELINE].mean(0)[present], kind="stable")]
    thirds = dict(zip(("easy", "middling", "hard"), np.array_split(order, 3), strict=True))
    heads = [f"{name} ({len(labels)} labels)" for name, labels in thirds.items()]
    cells = {
        variant: [Measured(ap_SL[:, labels].mean(1)) for labels in thirds.values()] for variant, ap_SL in ap.items()
    }
    return _table("**Mean AP of labels** by how hard they are for BCE, test split", heads, cells)


def _with_intervals(ap: Mapping[str, Column], runs: Mapping[str, Mapping[int, ScoredSplit]]) -> str:
    """Return a table of mean AP over frequent labels and over all, with intervals by bootstrap over images.

    An interval is of the mean over seeds; that of a gain is of the differences in the same samples of images.
    """
    targets_NL = _targets(runs)
    counts_RN, judged_L = resample(len(targets_NL)), metrics.judged(targets_NL)
    frequent_L = judged_L & ((targets_NL > 0).sum(0) >= FREQUENT)
    kinds = {f"labels on at least {FREQUENT} images": frequent_L} if 0 < frequent_L.sum() < judged_L.sum() else {}
    kinds["all labels"] = judged_L
    cells: dict[str, list[Measured]] = {}
    for variant, of in runs.items():
        sampled = [100 * resampled_ap(run.scores_NL, targets_NL, counts_RN) for run in of.values()]
        cells[variant] = [
            Measured(
                ap[variant][:, labels_L].mean(1), np.mean([sample_means(ap_RL, labels_L) for ap_RL in sampled], axis=0)
            )
            for labels_L in kinds.values()
        ]
    heads = [f"{kind} ({labels_L.sum()})" for kind, labels_L in kinds.items()]
    return _table("**Mean AP of labels**, with 95 % intervals by bootstrap over images, test split", heads, cells)


def _table(caption: str, heads: Sequence[str], cells: Mapping[str, Sequence[Measured]]) -> str:
    """Return a table: of each variant mean and deviation over seeds, then the paired differences to the baseline."""
    rows = [["", *heads], ["---"] * (len(heads) + 1)]
    rows += [[title, *map(_spread, cells[variant])] for variant, title in VARIANTS.items()]
    for variant, title in VARIANTS.items():
        if variant != BASELINE:
            gains = [ours.minus(theirs) for ours, theirs in zip(cells[variant], cells[BASELINE], strict=True)]
            rows.append([f"{title}, gain over BCE", *map(_gain, gains)])
    return "\n".join([f"\n{caption}", "", *(f"| {' | '.join(row)} |" for row in rows)])


def _column(found: Mapping[int, Metrics], name: str) -> Measured:
    return Measured(np.array([each[name] for each in found.values()]) * (1 if name == "n_plus" else 100))


def _spread(measured: Measured) -> str:
    values = measured.values_S
    text = f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" if len(values) > 1 else f"{values[0]:.1f}"
    return text + _interval(measured, ".1f")


def _gain(difference: Measured) -> str:
    """Return mean and standard error of paired differences, and in how many seeds they are above 0."""
    values = difference.values_S
    text = f"{values.mean():+.2f}"
    if len(values) > 1:
        text += f" ± {values.std(ddof=1) / len(values) ** 0.5:.2f} ({int((values > 0).sum())} of {len(values)})"
    return text + _interval(difference, "+.2f")


def _interval(measured: Measured, form: str) -> str:
    if measured.samples_R is None:
        return ""
    middle, around = float(measured.values_S.mean()), margin(measured.samples_R)
    return f", {middle - around:{form}} to {middle + around:{form}}"


def _with_tables(text: str, dataset: str, tables: str, page: Path) -> str:
    """Return the page's text with the tables between `<!-- tables: NAME -->` and `<!-- end: NAME -->`."""
    begin, end = f"<!-- tables: {dataset} -->", f"<!-- end: {dataset} -->"
    section = f"{begin}\n{tables}\n\n{end}"
    if begin not in text and end not in text:
        return f"{text.rstrip()}\n\n## {dataset}\n\n{section}\n"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise IntegrityError(f"{page} must have both lines {begin} and {end}, in this order, or neither")
    return before + section + after


class Spread(NamedTuple):
    """Metrics over several seeds: their means, and the standard deviations of more than one."""

    mean: dict[str, float]
    deviation: dict[str, float] | None
    seeds: int


def read_ablation(path: Path) -> dict[str, Spread]:
    """Return row -> metrics on the test split of our network with parts left out; empty if the file is not there.

    Raises:
        IntegrityError: it is no table of an ablation.
    """
    if not path.is_file():
        return {}
    seeds: dict[str, list[dict[str, float]]] = {}
    try:
        with path.open(newline="", encoding="utf8") as stream:
            for row in csv.DictReader(stream):
                if row["split"] == "test":
                    seeds.setdefault(row["variant"], []).append({name: float(row[name]) for name in COLUMNS})
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} is no table of an ablation: {error}") from None
    ordered = [each for each in VARIANTS if each in seeds] + [each for each in seeds if each not in VARIANTS]
    titles = paper().methods | VARIANTS
    return {titles.get(variant, variant): _over_seeds(seeds[variant]) for variant in ordered}


def _over_seeds(seeds: Sequence[dict[str, float]]) -> Spread:
    means = {name: mean(seed[name] for seed in seeds) for name in COLUMNS}
    deviations = {name: stdev(seed[name] for seed in seeds) for name in COLUMNS} if len(seeds) > 1 else None
    return Spread(means, deviations, len(seeds))
