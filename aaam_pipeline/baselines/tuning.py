"""Choose a method's hyper-parameters on the validation split: every combination of its small grid.

Shapes: N training images, V validation images, D features, L labels.
"""

from itertools import product
from typing import Any, NamedTuple

from aaam_pipeline import metrics
from aaam_pipeline.baselines.base import Features, Method, Targets
from aaam_pipeline.core.errors import UsageError

F1 = "f1_at_k"
CRITERIA = ("map", "map_at_10", "precision_at_k", "recall_at_k", "n_plus", F1)


class Tuned(NamedTuple):
    """The best method, fitted; `tried`: hyper-parameters and the criterion on validation, in the order tried."""

    method: Method
    tried: list[tuple[dict[str, Any], float]]


def combinations(grid: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return every combination of a grid, the last name varied fastest; of an empty grid the one empty choice."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def check_criterion(name: str) -> None:
    """Check that there is such a criterion.

    Raises:
        UsageError: there is none.
    """
    if name not in CRITERIA:
        raise UsageError(f"no criterion {name!r}; known: {', '.join(CRITERIA)}")


def tune(
    method: Method,
    features_ND: Features,
    targets_NL: Targets,
    val_features_VD: Features,
    val_targets_VL: Targets,
    k: int,
    criterion: str = "map",
) -> Tuned:
    """Fit the method with every combination of its `grid`, and return the one that is best on validation.

    Hyper-parameters that the grid does not name stay as they are in `method`, which itself is not fitted. Of equal ones
    the first wins. `criterion`: a key of `metrics.evaluate`, or `f1_at_k`, the harmonic mean of P@k and R@k; `k`:
    labels an image, for those that need it.

    Raises:
        UsageError: no such criterion; and what `fit` raises.
    """
    check_criterion(criterion)
    if not len(val_targets_VL):
        raise UsageError("no validation images to choose hyper-parameters on; give the data set some (data.val)")
    best = method
    tried: list[tuple[dict[str, Any], float]] = []
    for choice in combinations(method.grid):
        candidate = method.with_params(choice)
        scores_VL = candidate.fit(features_ND, targets_NL).predict_scores(val_features_VD)
        value = _value(metrics.evaluate(scores_VL, val_targets_VL, k), criterion)
        if value > max((each for _, each in tried), default=-1):
            best = candidate
        tried.append((choice, value))
    return Tuned(best, tried)


def _value(values: dict[str, float], criterion: str) -> float:
    return metrics.f1_at_k(values) if criterion == F1 else float(values[criterion])
