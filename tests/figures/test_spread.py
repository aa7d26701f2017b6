import itertools

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from aaam_pipeline.figures.prediction_paths import spread


def cost(positions: list[float], wanted: list[float]) -> float:
    return sum((one - other) ** 2 for one, other in zip(positions, wanted, strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_no_label_covers_another_and_they_keep_their_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = rng.random(rng.integers(1, 12)).round(1).tolist()
    positions = spread(wanted, 0.07, 0, 1)
    ordered = sorted(zip(positions, wanted, strict=True))
    assert all(upper - lower >= 0.07 - 1e-9 for (lower, _), (upper, _) in itertools.pairwise(ordered))
    assert [want for _, want in ordered] == sorted(wanted)
    assert min(positions) >= 0
    assert max(positions) <= 1 + 1e-9


def test_what_is_apart_stays_where_it_is() -> None:
    assert spread([0.9, 0.1, 0.5], 0.1, 0, 1) == [0.9, 0.1, 0.5]
    assert spread([], 0.1, 0, 1) == []


@pytest.mark.parametrize("wanted", [[0.5, 0.52, 0.9], [0.4, 0.42, 0.46], [0.3, 0.36, 0.36]])
def test_labels_are_moved_as_little_as_possible(wanted: list[float]) -> None:
    found = cost(spread(wanted, 0.1, 0, 1), wanted)
    grid = np.linspace(0, 1, 51)
    others = [
        cost(list(positions), wanted)
        for positions in itertools.combinations(grid, len(wanted))
        if all(upper - lower >= 0.1 - 1e-9 for lower, upper in itertools.pairwise(positions))
    ]
    assert found <= min(others) + 1e-9


def test_labels_stay_inside() -> None:
    assert spread([1, 1, 1], 0.1, 0, 1) == pytest.approx([0.8, 0.9, 1])
    assert spread([0, 0], 0.1, 0, 1) == pytest.approx([0, 0.1])
    assert spread([0, 0, 1, 1], 1, 0, 1) == pytest.approx([0, 1 / 3, 2 / 3, 1]), "too many: evenly"
