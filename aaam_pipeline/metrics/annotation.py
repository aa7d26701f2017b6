"""Precision@k, recall@k, mAP, mAP@10 and N+ of multi-label annotation (section 5.2 of the paper).

Shapes: N images, L labels, k assigned labels an image. `scores_NL` may be any real numbers, `targets_NL` are 1 (yes),
0 (no) or -1 (unknown).

The k best-scored labels are assigned to every image. Ties between labels go to the earlier label, ties between images
to the earlier image. An unknown pair of image and label is taken out before anything is ranked, so its score changes no
metric: k labels are assigned of those that are known of an image, and a label ranks the images of which it is known.
"""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Targets = NDArray[np.integer]
MAP_DEPTH = 10


def evaluate(scores_NL: Scores, targets_NL: Targets, k: int) -> dict[str, float]:
    """Return all metrics as fractions in [0, 1], but `n_plus`, which counts labels with recall > 0.

    Keys: `precision_at_k`, `recall_at_k` (averaged over the `judged` labels; a label never assigned has precision 0),
    `map_at_10` (average precision of an image's ten best labels, over the images with a label), `map`
    (average precision of a label's ranking of the images, over the judged labels), `n_plus`,
    `precision_at_k_per_image` and `recall_at_k_per_image` (averaged over images, the latter over those with a label).
    Images of which nothing is known count nowhere.

    Raises:
        ValueError: the shapes differ, k < 1, or a score is not a number.

    >>> scores = np.array([[0.9, 0.2, 0.8], [0.1, 0.7, 0.6]])
    >>> round(evaluate(scores, np.array([[1, 0, 1], [0, 1, 0]]), k=1)["precision_at_k"], 3)
    0.667
    """
    _check(scores_NL, targets_NL, k)
    table = per_label(scores_NL, targets_NL, k)
    present = judged(targets_NL)
    assigned_NL = top_k(scores_NL, k, targets_NL >= 0)
    assigned_N = assigned_NL.sum(1)
    hits_N = (assigned_NL & (targets_NL > 0)).sum(1)
    relevant_N = (targets_NL > 0).sum(1)
    labelled = relevant_N > 0
    return {
        "precision_at_k": _mean(table["precision"][present]),
        "recall_at_k": _mean(table["recall"][present]),
        "map_at_10": _mean(_image_ap(scores_NL, targets_NL)[labelled]),
        "map": _mean(table["ap"][present]),
        "n_plus": int((table["recall"] > 0).sum()),
        "precision_at_k_per_image": _mean(hits_N[assigned_N > 0] / assigned_N[assigned_N > 0]),
        "recall_at_k_per_image": _mean(hits_N[labelled] / relevant_N[labelled]),
    }


def judged(targets_NL: Targets) -> NDArray[np.bool_]:
    """Return which labels the means are over, (L,): those with a positive image.

    Where a label is unknown of some images, it also needs one that is known to be without it: any ranking is right
    else.
    """
    positives_L, known_L = (targets_NL > 0).sum(0), (targets_NL >= 0).sum(0)
    return np.asarray((positives_L > 0) & ((known_L > positives_L) | (known_L == len(targets_NL))))


def f1_at_k(values: dict[str, float]) -> float:
    """Return the harmonic mean of P@k and R@k, of what `evaluate` returns; 0 where both are.

    >>> f1_at_k({"precision_at_k": 0.2, "recall_at_k": 0.6})
    0.3
    """
    precision, recall = values["precision_at_k"], values["recall_at_k"]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def per_label(scores_NL: Scores, targets_NL: Targets, k: int) -> dict[str, NDArray[np.float64]]:
    """Return (L,) arrays: `positives`, `assigned` (counts), `precision`, `recall` and `ap` of every label.

    A label without a positive image has recall and ap 0 here; averages leave it out (`judged`).
    """
    _check(scores_NL, targets_NL, k)
    relevant_NL = targets_NL > 0
    assigned_NL = top_k(scores_NL, k, targets_NL >= 0)
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
    """Return the average precision of each label's ranking of the images, (L,); 0 for a label without a positive.

    Ranked are the images of which the label is known.
    """
    order_NL = np.argsort(-np.asarray(scores_NL, dtype=np.float64), axis=0, kind="stable")
    hits_NL = np.take_along_axis(targets_NL > 0, order_NL, axis=0)
    precision_NL = hits_NL.cumsum(0) / ranks(targets_NL >= 0, order_NL, axis=0)
    ap: NDArray[np.float64] = (precision_NL * hits_NL).sum(0) / np.maximum(hits_NL.sum(0), 1)
    return ap


def ranks(known: NDArray[np.bool_], order: NDArray[np.integer], axis: int) -> NDArray[np.integer]:
    """Return the rank of each place of an order among the known ones up to it, at least 1.

    `order`: indices of `known` along `axis`, best first. Where all is known that is 1, 2, 3 ... along the axis.
    """
    if known.all():
        count = np.arange(1, order.shape[axis] + 1)
        return count[:, None] if axis == 0 else count[None]
    counted: NDArray[np.integer] = np.maximum(np.take_along_axis(known, order, axis=axis).cumsum(axis), 1)
    return counted


def top_k(scores_NL: Scores, k: int, known_NL: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Return which k labels are assigned to each image, (N, L); all of them when k > L.

    `known_NL`: the labels that may be assigned to an image; None: all.
    """
    order_NK = _best_first(scores_NL, known_NL)[:, :k]
    assigned_NL = np.zeros(scores_NL.shape, dtype=np.bool_)
    np.put_along_axis(assigned_NL, order_NK, True, axis=1)
    return assigned_NL if known_NL is None else assigned_NL & known_NL


def _best_first(scores_NL: Scores, known_NL: NDArray[np.bool_] | None) -> NDArray[np.intp]:
    """Return the labels of each image, best score first, unknown ones last, (N, L)."""
    falling_NL = -np.asarray(scores_NL, dtype=np.float64)
    if known_NL is not None and not known_NL.all():
        falling_NL = np.where(known_NL, falling_NL, np.inf)
    return np.argsort(falling_NL, axis=1, kind="stable")


def _image_ap(scores_NL: Scores, targets_NL: Targets) -> NDArray[np.float64]:
    """Return each image's average precision over its ten best labels, divided by min(10, its number of labels)."""
    order_NK = _best_first(scores_NL, targets_NL >= 0)[:, :MAP_DEPTH]
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
