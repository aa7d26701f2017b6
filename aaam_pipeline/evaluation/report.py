"""Stage `evaluate`: the metrics of NOTES.md on the test split, overall, per label and per two-label query.

metrics.json               per method: the seven metrics, and how well two-label queries are answered
per_label/<method>.csv     label, positives, assigned, precision, recall, ap
queries/<method>.csv       query, relevant, precision_at_10: one row for every pair of labels that occurs
"""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aaam_pipeline import metrics
from aaam_pipeline.core.artifacts import write_bytes, write_json
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.core.schema import ScoredSplit, read_scores

QUERY_DEPTH = 10
DIGITS = 6


def evaluate(scores: Mapping[str, Path], out: Path) -> dict[str, Any]:
    """Evaluate methods, given as name -> scores.parquet, into the folder `out`; return what its metrics.json holds.

    Raises:
        IntegrityError: a scores file is damaged, or the methods were not scored on the same images and labels.
    """
    splits = {method: read_scores(path) for method, path in scores.items()}
    _check_alike(splits)
    figures: dict[str, Any] = {}
    for method, split in splits.items():
        table = metrics.per_label(split.scores_NL, split.targets_NL, split.k)
        pairs = metrics.pair_queries(split.scores_NL, split.targets_NL, QUERY_DEPTH)
        figures[method] = _rounded(metrics.evaluate(split.scores_NL, split.targets_NL, split.k)) | _queries(pairs)
        label_rows = [
            [label, *(round(float(column[i]), DIGITS) for column in table.values())]
            for i, label in enumerate(split.labels)
        ]
        query_rows = [
            [f"{split.labels[one]} {split.labels[other]}", int(relevant), float(precision)]
            for (one, other), relevant, precision in zip(*pairs, strict=True)
        ]
        _write_csv(out / "per_label" / f"{method}.csv", ["label", *table], label_rows)
        _write_csv(out / "queries" / f"{method}.csv", ["query", "relevant", "precision_at_10"], query_rows)
    write_json(out / "metrics.json", figures)
    return figures


def _queries(pairs: metrics.PairQueries) -> dict[str, Any]:
    """Sum up the two-label queries; the precision is over pairs that enough images hold to fill the first ten."""
    enough = pairs.relevant_P >= QUERY_DEPTH
    mean = float(pairs.precision_P[enough].mean()) if enough.any() else 0.0
    return {"pair_queries": int(enough.sum()), "pair_precision_at_10": round(mean, DIGITS)}


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: value if isinstance(value, int) else round(value, DIGITS) for name, value in figures.items()}


def _check_alike(splits: Mapping[str, ScoredSplit]) -> None:
    first = next(iter(splits.values()))
    for method, split in splits.items():
        same = (split.image_ids, split.labels, split.k) == (first.image_ids, first.labels, first.k)
        if not same or (split.targets_NL != first.targets_NL).any():
            raise IntegrityError(f"{method} was scored on other images, labels or k than {next(iter(splits))}")


def _write_csv(path: Path, names: list[str], rows: Iterable[list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())
