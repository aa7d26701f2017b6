"""The losses of a tiny training of all three phases, kept in loss_curve.json: a refactor must reproduce them.

After a change that is meant to change them: PYTHONPATH=tests python tests/golden/test_loss_curve.py
"""

import csv
import json
import tempfile
from pathlib import Path

import pytest
from training.toy_blocks import make_prepared, train

from aaam_pipeline.training.phases import PHASES

GOLDEN = Path(__file__).with_name("loss_curve.json")
# relative tolerances: several times what thread counts, instruction sets, oneDNN on or off were seen to change
COLUMNS = {"loss": 1e-3, "bce": 1e-3, "triplet_margin": 5e-3, "triplets_per_image": 2e-2}
# rates so low that rounding does not grow into another training
RATES = dict.fromkeys(("features", "attention", "classifier"), 1e-4)
Curve = dict[str, list[float]]


def curves(root: Path) -> dict[str, Curve]:
    """Train the three phases, two epochs each, and return their losses by phase and column."""
    make_prepared(root / "prepared")
    found = {}
    for phase in PHASES:
        train(root, phase, lr=RATES)
        with (root / "plots" / f"{phase}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))[1:]
        found[phase] = {name: [round(float(row[name]), 6) for row in rows] for name in COLUMNS}
    return found


def test_training_reproduces_the_golden_losses(tmp_path: Path) -> None:
    golden, found = json.loads(GOLDEN.read_text()), curves(tmp_path)
    assert found.keys() == golden.keys()
    for phase, columns in golden.items():
        for name, values in columns.items():
            assert found[phase][name] == pytest.approx(values, rel=COLUMNS[name]), (phase, name)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(json.dumps(curves(Path(folder)), indent=1) + "\n")
