"""Stage `evaluate`: the metrics on the test split, overall, per label and per two-label query.

metrics.json               per method: the seven metrics, calibration errors, how well two-label queries are answered
per_label/<method>.csv     label, positives, assigned, precision, recall, ap; and known, the test images of which the
                           label is known, where that is not all of them
queries/<method>.csv       query, relevant, precision_at_10: one row for every pair of labels that occurs
reliability/<method>.csv   score, frequency, pairs: one row for every bin of scores that is not empty
reliability_raw/...        the same before calibration, of a method that has one

The seven metrics rank labels and images by the scores that a method gives, as the paper does; with `_scaled` behind
their names, by these divided by each label's maximum over training or validation images (`formats.scaling`). All else
is of calibrated scores, as annotations and searches have them, or of a method without a calibration again of what it
gives.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.core.artifacts import write_csv, write_json
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.formats.scaling import scaled
from aaam_pipeline.formats.scores import ScoredSplit, read_scores
from aaam_pipeline.metrics.neighbours import NeighbourSetting

QUERY_DEPTH = 10
DIGITS = 6

Scores = NDArray[np.floating]
Metrics = dict[str, Any]


def evaluate(scores: Mapping[str, Path], out: Path, validation: Mapping[str, Path] | None = None) -> Metrics:
    """Evaluate methods, given as name -> scores.parquet, into the folder `out`; return what its metrics.json holds.

    Neighbour evidence is measured for the methods of `validation`, name -> scores.parquet of the validation split: its
    setting is chosen there.

    Raises:
        UsageError: a file of `validation` is of no such method, has no embeddings or shares images with the test split.
        IntegrityError: a scores file is damaged, or the methods were not scored on the same images and labels.
    """
    splits = {method: read_scores(path) for method, path in scores.items()}
    check_alike(splits)
    settings = {method: _choose_neighbours(method, splits, path) for method, path in (validation or {}).items()}
    values = {method: _method(split, out, f"{method}.csv", settings.get(method)) for method, split in splits.items()}
    write_json(out / "metrics.json", values)
    return values


def _method(split: ScoredSplit, out: Path, name: str, setting: NeighbourSetting | None) -> Metrics:
    """Write the tables of a method, and return its metrics."""
    calibrated_NL = calibrate(split.scores_NL, split.calibration)
    table = metrics.per_label(split.scores_NL, split.targets_NL, split.k)
    known_NL = split.targets_NL >= 0
    if not known_NL.all():
        table["known"] = known_NL.sum(0).astype(np.float64)
    rows = zip(split.labels, *map(_rounded, table.values()), strict=True)
    write_csv(out / "per_label" / name, [["label", *table], *rows])
    values: Metrics = dict(metrics.evaluate(split.scores_NL, split.targets_NL, split.k))
    values |= {f"{key}_scaled": value for key, value in evaluate_scaled(split).items()}
    values |= _reliability(calibrated_NL, split, out / "reliability" / name)
    if split.calibration:
        raw = _reliability(split.scores_NL, split, out / "reliability_raw" / name)
        values |= {f"{key}_raw": value for key, value in raw.items()}
    values |= _queries(calibrated_NL, split, out / "queries" / name)
    if setting:
        values |= _with_neighbours(calibrated_NL, split, setting)
    return {key: value if isinstance(value, int) else round(value, DIGITS) for key, value in values.items()}


def evaluate_scaled(split: ScoredSplit) -> dict[str, float]:
    """Return `metrics.evaluate` of scores divided by the maxima that the file holds; nothing where it holds none."""
    if not split.scaling:
        return {}
    return metrics.evaluate(scaled(split.scores_NL, split.scaling.maxima), split.targets_NL, split.k)


def _reliability(scores_NL: Scores, split: ScoredSplit, path: Path) -> Metrics:
    """Compare scores with how often the labels are there: in bins as a table, and as one number."""
    table = metrics.reliability(scores_NL, split.targets_NL)
    full = table.pairs_B > 0
    rows = zip(_rounded(table.score_B[full]), _rounded(table.frequency_B[full]), table.pairs_B[full], strict=True)
    write_csv(path, [["score", "frequency", "pairs"], *rows])
    return {
        "ece": metrics.calibration_error(scores_NL, split.targets_NL),
        "ece_per_label": metrics.label_calibration_error(scores_NL, split.targets_NL),
    }


def _queries(scores_NL: Scores, split: ScoredSplit, path: Path) -> Metrics:
    """Sum up the queries of one to three labels; P@10 is over pairs that enough images hold to fill the first ten."""
    pairs = metrics.pair_queries(scores_NL, split.targets_NL, QUERY_DEPTH)
    texts = [f"{split.labels[one]} {split.labels[other]}" for one, other in pairs.ids_P2]
    rows = zip(texts, pairs.relevant_P, map(float, pairs.precision_P), strict=True)
    write_csv(path, [["query", "relevant", "precision_at_10"], *rows])
    enough = pairs.relevant_P >= QUERY_DEPTH
    mean = float(pairs.precision_P[enough].mean()) if enough.any() else 0.0
    values: Metrics = {"pair_queries": int(enough.sum()), "pair_precision_at_10": mean}
    for size in metrics.SIZES:
        values[f"retrieval_map_{size}"], values[f"retrieval_queries_{size}"] = metrics.retrieval_map(
            scores_NL, split.targets_NL, size
        )
    return values


def _choose_neighbours(method: str, splits: Mapping[str, ScoredSplit], path: Path) -> NeighbourSetting:
    """Choose over how many neighbours to smooth a method's scores, and how much, on its scores of validation images."""
    if method not in splits:
        raise UsageError(f"{path} is named after none of the methods evaluated: {', '.join(splits)}")
    test, split = splits[method], read_scores(path)
    if split.embedding_ND is None or test.embedding_ND is None:
        raise UsageError(f"{method} has no embeddings in both of its scores files; neighbours are found by them")
    if split.labels != test.labels or not set(split.image_ids).isdisjoint(test.image_ids):
        raise UsageError(f"{path} must have the same labels as {method}'s other scores, and none of their images")
    calibrated_NL = calibrate(split.scores_NL, split.calibration)
    return metrics.choose_neighbours(calibrated_NL, split.targets_NL, split.embedding_ND)


def _with_neighbours(scores_NL: Scores, split: ScoredSplit, setting: NeighbourSetting) -> Metrics:
    """Measure the same queries on scores smoothed over neighbours."""
    assert split.embedding_ND is not None
    smoothed_NL = metrics.smooth(scores_NL, *metrics.nearest(split.embedding_ND, setting.neighbours), setting.weight)
    values: Metrics = {"neighbours": setting.neighbours, "neighbours_weight": setting.weight}
    values["neighbours_validation_gain"] = setting.gain
    for size in metrics.SIZES:
        values[f"retrieval_map_{size}_neighbours"], _ = metrics.retrieval_map(smoothed_NL, split.targets_NL, size)
    return values


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), DIGITS) for value in values]


def check_alike(splits: Mapping[str, ScoredSplit]) -> None:
    """Check that methods were scored on the same images and labels.

    Raises:
        IntegrityError: they were not, so their metrics cannot be compared.
    """
    first = next(iter(splits.values()))
    for method, split in splits.items():
        same = (split.image_ids, split.labels, split.k) == (first.image_ids, first.labels, first.k)
        if not same or (split.targets_NL != first.targets_NL).any():
            raise IntegrityError(f"{method} was scored on other images, labels or k than {next(iter(splits))}")
