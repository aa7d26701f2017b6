"""Tuning tries every combination of a method's grid and keeps the best one on validation."""

from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from aaam_pipeline.baselines.base import Method
from aaam_pipeline.baselines.tuning import combinations, tune
from aaam_pipeline.core.errors import UsageError

TARGETS = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.uint8)
FEATURES = TARGETS.astype(np.float32)


class Toy(Method):
    """Scores that are right as far as `right` is above `wrong`."""

    grid: ClassVar[dict[str, list[Any]]] = {"right": [0.0, 2.0, 1.0], "wrong": [1.0, 0.5]}

    def __init__(self, right: float = 9.0, wrong: float = 9.0, kept: str = "default") -> None:
        self.right, self.wrong, self.kept = right, wrong, kept

    def _fit(self, features_ND: NDArray[np.float32], targets_NL: NDArray[np.uint8]) -> None:
        pass

    def _scores(self, features_BD: NDArray[np.float32]) -> NDArray[np.floating]:
        return features_BD * (self.right - self.wrong)


def tuned(**options: Any) -> Any:
    return tune(Toy(kept="mine"), FEATURES, TARGETS, FEATURES, TARGETS, 1, **options)


def test_the_first_of_the_best_is_taken_and_fitted() -> None:
    found = tuned()
    assert found.method.get_params() == {"right": 2.0, "wrong": 1.0, "kept": "mine"}
    assert found.method.predict_scores(FEATURES).shape == (4, 2)
    assert [params for params, _ in found.tried] == combinations(Toy.grid)
    assert len(found.tried) == 6
    assert max(value for _, value in found.tried) == 1


@pytest.mark.parametrize("criterion", ["precision_at_k", "recall_at_k", "n_plus", "map_at_10", "f1_at_k"])
def test_other_criteria_choose_as_well(criterion: str) -> None:
    assert tuned(criterion=criterion).method.right > 0


def test_a_grid_of_nothing_has_one_choice() -> None:
    assert combinations({}) == [{}]


def test_what_cannot_be_chosen_by_is_refused() -> None:
    with pytest.raises(UsageError, match="no criterion 'accuracy'"):
        tuned(criterion="accuracy")
    with pytest.raises(UsageError, match="no validation images"):
        tune(Toy(), FEATURES, TARGETS, FEATURES[:0], TARGETS[:0], 1)
