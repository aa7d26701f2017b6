"""Precision@k, recall@k, mAP, mAP@10 and N+ of multi-label annotation (section 5.2 of the paper).

Shapes: N images, L labels, k assigned labels an image. `scores_NL` may be any real numbers, `targets_NL` are 0 or 1.

The k best-scored labels are assigned to every image. Ties between labels go to the earlier label, ties between images
to the earlier image.
"""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Targets = NDArray[np.integer]
MAP_DEPTH = 10


def evaluate(scores_NL: Scores, targets_NL: Targets, k: int) -> dict[str, float]:
    """Return all metrics as fractions in [0, 1], but `n_plus`, which counts labels with recall > 0.

    Keys: `precision_at_k`, `recall_at_k` (averaged over the labels that have a test image; a label never assigned has
    precision 0), `map_at_10` (average precision of an image's ten best labels, over the images with a label), `map`
    (average precision of a label's ranking of the images, over the labels with a test image), `n_plus`,
    `precision_at_k_per_image` and `recall_at_k_per_image` (averaged over images, the latter over those with a label).

    Raises:
        ValueError: the shapes differ, k < 1, or a score is not a number.

    >>> scores = np.array([[0.9, 0.2, 0.8], [0.1, 0.7, 0.6]])
    >>> round(evaluate(scores, np.array([[1, 0, 1], [0, 1, 0]]), k=1)["precision_at_k"], 3)
    0.667
    """
    _check(scores_NL, targets_NL, k)
    table = per_label(scores_NL, targets_NL, k)
    present = table["positives"] > 0
    assigned_NL = top_k(scores_NL, k)
    hits_N = (assigned_NL & (targets_NL > 0)).sum(1)
    relevant_N = (targets_NL > 0).sum(1)
    labelled = relevant_N > 0
    return {
        "precision_at_k": _mean(table["precision"][present]),
        "recall_at_k": _mean(table["recall"][present]),
        "map_at_10": _mean(_image_ap(scores_NL, targets_NL)[labelled]),
        "map": _mean(table["ap"][present]),
        "n_plus": int((table["recall"] > 0).sum()),
        "precision_at_k_per_image": _mean(hits_N / assigned_NL.sum(1)),
        "recall_at_k_per_image": _mean(hits_N[labelled] / relevant_N[labelled]),
    }


def f1_at_k(values: dict[str, float]) -> float:
    """Return the harmonic mean of P@k and R@k, of what `evaluate` returns; 0 where both are.

    >>> f1_at_k({"precision_at_k": 0.2, "recall_at_k": 0.6})
    0.3
    """
    precision, recall = values["precision_at_k"], values["recall_at_k"]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def per_label(scores_NL: Scores, targets_NL: Targets, k: int) -> dict[str, NDArray[np.float64]]:
    """Return (L,) arrays: `positives`, `assigned` (counts), `precision`, `recall` and `ap` of every label.

    A label without a positive image has recall and ap 0 here; averages leave it out.
    """
    _check(scores_NL, targets_NL, k)
    relevant_NL = targets_NL > 0
    assigned_NL = top_k(scores_NL, k)
    hits_L = (assigned_NL & relevant_NL).sum(0)
    assigned_L, positives_L = assigned_NL.sum(0), relevant_NL.sum(0)
    return {
        "positives": positives_L.astype(np.float64),
        "assigned": assigned_L.astype(np.float64),
        "precision": hits_L / np.maximum(assigned_L, 1),
        "recall": hits_L / np.maximum(positives_L, 1),
        "ap": average_precision(scores_NL, targets_NL),
    }


def average_precision(scores_NL: Scores, targets_NL: Targets) -> NDArray[np.float64]:
    """Return the average precision of each label's ranking of the images, (L,); 0 for a label without a positive."""
    order_NL = np.argsort(-np.asarray(scores_NL, dtype=np.float64), axis=0, kind="stable")
    hits_NL = np.take_along_axis(targets_NL > 0, order_NL, axis=0)
    precision_NL = hits_NL.cumsum(0) / np.arange(1, len(hits_NL) + 1)[:, None]
    ap: NDArray[np.float64] = (precision_NL * hits_NL).sum(0) / np.maximum(hits_NL.sum(0), 1)
    return ap


def top_k(scores_NL: Scores, k: int) -> NDArray[np.bool_]:
    """Return which k labels are assigned to each image, (N, L); all of them when k > L."""
    order_NK = np.argsort(-np.asarray(scores_NL, dtype=np.float64), axis=1, kind="stable")[:, :k]
    assigned_NL = np.zeros(scores_NL.shape, dtype=np.bool_)
    np.put_along_axis(assigned_NL, order_NK, True, axis=1)
    return assigned_NL


def _image_ap(scores_NL: Scores, targets_NL: Targets) -> NDArray[np.float64]:
    """Return each image's average precision over its ten best labels, divided by min(10, its number of labels)."""
    order_NK = np.argsort(-np.asarray(scores_NL, dtype=np.float64), axis=1, kind="stable")[:, :MAP_DEPTH]
    hits_NK = np.take_along_axis(targets_NL > 0, order_NK, axis=1)
    precision_NK = hits_NK.cumsum(1) / np.arange(1, hits_NK.shape[1] + 1)
    possible_N = np.clip((targets_NL > 0).sum(1), 1, MAP_DEPTH)
    ap: NDArray[np.float64] = (precision_NK * hits_NK).sum(1) / possible_N
    return ap


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else 0.0


def _check(scores_NL: Scores, targets_NL: Targets, k: int) -> None:
    if scores_NL.ndim != 2 or scores_NL.shape != targets_NL.shape:
        raise ValueError(f"scores {scores_NL.shape} and targets {targets_NL.shape} must be equal (N, L) shapes")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if np.isnan(scores_NL).any():
        raise ValueError("scores hold values that are not numbers")
