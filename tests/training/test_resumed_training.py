"""Training that was killed or stopped resumes where it was and ends with the same bytes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from training import toy_blocks
from training.toy_blocks import make_prepared, paths, train, weights_bytes, write_params

from aaam_pipeline.core.progress import Advance, NullReporter


def driver(root: Path) -> "subprocess.Popen[str]":
    script = Path(toy_blocks.__file__)
    return subprocess.Popen(
        [sys.executable, script, root, "bce", "1"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


@pytest.mark.slow
def test_training_killed_in_the_middle_of_an_epoch_resumes_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    undisturbed, root = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, root):
        make_prepared(folder / "prepared")
        write_params(folder, epochs=3)
    with driver(root) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step toy bce epoch 2/3 16/"):
                process.kill()
                break
    assert process.returncode == -9
    assert not (root / "models").exists()
    assert not (root / "scores").exists()
    assert (root / "work" / "bce" / "checkpoint.safetensors").is_file()

    reported = train(root, "bce", epochs=3)
    assert reported[0] == "toy bce: resumes after epoch 1, where an earlier run stopped"
    assert [line.split(":")[0] for line in reported[1:3]] == ["toy bce epoch 2/3", "toy bce epoch 3/3"]
    fresh = train(undisturbed, "bce", epochs=3)
    assert not any("resumes" in line for line in fresh)
    assert weights_bytes(root) == weights_bytes(undisturbed)
    for file in ("models/bce/bundle.json", "scores/bce.parquet", "plots/bce.csv"):
        assert (root / file).read_bytes() == (undisturbed / file).read_bytes(), file


class PowerCutError(Exception):
    """Stands for a power cut in tests that need no process of their own."""


class StopAfterEpoch(NullReporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)
        if " epoch 1/" in text:
            raise PowerCutError


@pytest.fixture
def stopped(prepared: Path, tmp_path: Path) -> Path:
    """Return a folder in which `bce` was stopped after its first epoch."""
    with pytest.raises(PowerCutError), toy_blocks.threads(1):
        toy_blocks.run(write_params(tmp_path), "bce", paths(tmp_path, "bce", prepared), StopAfterEpoch())
    assert (tmp_path / "work" / "bce" / "checkpoint.safetensors").is_file()
    return tmp_path


def resumed(lines: list[str]) -> bool:
    return any("resumes after epoch 1" in line for line in lines)


def test_a_stopped_phase_resumes_with_the_same_result(stopped: Path, trained: Path, prepared: Path) -> None:
    assert resumed(train(stopped, "bce", prepared))
    assert weights_bytes(stopped) == weights_bytes(trained)


def test_a_checkpoint_of_other_settings_is_not_used(stopped: Path, prepared: Path) -> None:
    assert not resumed(train(stopped, "bce", prepared, weight_decay=1e-4))


def test_a_checkpoint_of_other_data_is_not_used(stopped: Path, trained: Path, tmp_path: Path) -> None:
    assert not resumed(train(stopped, "bce", make_prepared(tmp_path / "other" / "prepared", seed=9)))
    assert weights_bytes(stopped) != weights_bytes(trained)


def test_a_checkpoint_of_other_code_is_not_used(
    stopped: Path, trained: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aaam_pipeline.core.artifacts.sources_fingerprint", lambda folders: "other")
    assert not resumed(train(stopped, "bce", prepared))
    assert weights_bytes(stopped) == weights_bytes(trained)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_damaged_checkpoint_is_ignored(damage: str, stopped: Path, trained: Path, prepared: Path) -> None:
    checkpoint = stopped / "work" / "bce" / "checkpoint.safetensors"
    content = checkpoint.read_bytes()
    checkpoint.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"hello" * 99}[damage])
    assert not resumed(train(stopped, "bce", prepared))
    assert weights_bytes(stopped) == weights_bytes(trained)


class StopInEpoch(NullReporter):
    """Cuts the power after so many pictures of the second epoch."""

    @contextmanager
    def task(self, title: str, total: int, done: int = 0) -> Iterator[Advance]:
        seen = done

        def advance(count: int, failed: int = 0) -> None:
            nonlocal seen
            seen += count
            if "epoch 2/" in title and seen == 32:
                raise PowerCutError

        yield advance


AVERAGED = {
    "optimizer": "adamw",
    "ema": 0.9,
    "keep": "last",
    "probe_epochs": 2,
    "augment": {"aspect": 0.2, "shrink": 0.5},
}


@pytest.mark.parametrize(("phase", "common"), [("bce", {}), ("joint", {}), ("bce", AVERAGED), ("joint", AVERAGED)])
def test_a_phase_stopped_between_two_batches_resumes_there_with_the_same_result(
    phase: str, common: dict[str, Any], trained: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, root = tmp_path / "undisturbed", tmp_path / "stopped"
    for folder in (undisturbed, root):
        shutil.copytree(trained / "models", folder / "models")
    train(undisturbed, phase, prepared, common=common)
    # a checkpoint after every batch, not only every ten minutes
    monkeypatch.setattr("aaam_pipeline.training.trainer.CHECK_EVERY", 1)
    monkeypatch.setattr("aaam_pipeline.training.trainer.CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(PowerCutError), toy_blocks.threads(1):
        toy_blocks.run(write_params(root, common=common), phase, paths(root, phase, prepared), StopInEpoch())
    reported = train(root, phase, prepared, common=common)
    assert reported[0] == f"toy {phase}: resumes in epoch 2, where an earlier run stopped"
    for file in (f"models/{phase}/model.safetensors", f"plots/{phase}.csv", f"paths/{phase}.parquet"):
        assert (root / file).read_bytes() == (undisturbed / file).read_bytes(), file
