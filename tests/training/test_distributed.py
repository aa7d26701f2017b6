"""Two processes (gloo, on the CPU) that train together end where one does with the same batches."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from training import toy_blocks
from training.toy_blocks import make_prepared, paths

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.formats.recordings import read_recording
from aaam_pipeline.formats.scores import read_scores
from aaam_pipeline.training.distributed import DistributedContext

pytestmark = pytest.mark.slow

# what differs between processes by nature is turned off: each has its own dropout and, on a CPU, its own batch norm
SAME = {"dropout": 0.0, "batch_norm": "frozen"}


def write_params(root: Path) -> None:
    # rates so low that rounding does not grow until two validation images change paths
    tree = toy_blocks.params(epochs=2, lr=dict.fromkeys(("features", "attention", "classifier"), 5e-5))
    tree["toy"]["model"] |= SAME
    (root / "params.yaml").write_text(yaml.safe_dump(tree))


def train_distributed(root: Path, phase: str, processes: int) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
         toy_blocks.__file__, str(root), phase, "1"],
        capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


def curve(root: Path, phase: str) -> list[dict[str, float]]:
    with paths(root, phase).history.open(newline="") as stream:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def alone_and_together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    for root in (alone, together):
        make_prepared(root / "prepared")
        write_params(root)
    for phase in ("bce", "joint"):
        with toy_blocks.threads(1):
            toy_blocks.run(alone / "params.yaml", phase, paths(alone, phase), toy_blocks.Lines())
        reported = train_distributed(together, phase, 2)
        assert reported.count(f"toy {phase} epoch 1/2: loss") == 1, "only the main process reports"
    return alone, together


@pytest.mark.parametrize("phase", ["bce", "joint"])
def test_two_processes_have_the_losses_of_one(phase: str, alone_and_together: tuple[Path, Path]) -> None:
    for one, two in zip(*(curve(root, phase) for root in alone_and_together), strict=True):
        for name in one:
            assert two[name] == pytest.approx(one[name], rel=1e-3, abs=1e-4), (one["epoch"], name)


def test_two_processes_give_every_image_its_scores_and_path(alone_and_together: tuple[Path, Path]) -> None:
    one, two = (read_scores(paths(root, "joint").scores) for root in alone_and_together)
    assert one.image_ids == two.image_ids
    np.testing.assert_allclose(one.scores_NL, two.scores_NL, atol=2e-3)
    first, second = (read_recording(paths(root, "joint").recording) for root in alone_and_together)
    assert first.steps_S.tolist() == second.steps_S.tolist()
    np.testing.assert_allclose(first.scores_SML, second.scores_SML, atol=2e-3)


def test_rows_dealt_out_come_back_in_order() -> None:
    shards = []
    for rank in range(3):
        context = DistributedContext("cpu")
        context.rank, context.world_size = rank, 3
        shards.append(context.shard(list(range(8))))
    assert shards == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert torch.equal(DistributedContext("cpu").all_gather(torch.arange(4.0)[:, None], 4), torch.arange(4.0)[:, None])


def test_one_gpu_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="one GPU for 2 processes"):
        DistributedContext("cuda:1")
