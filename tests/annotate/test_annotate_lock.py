"""Two runs on one output: the second one leaves at once, the first one does not notice."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from runs import PARTS, Watcher, annotate, beside, by_name, check, interrupted

from aaam_pipeline.annotate import inputs, runner
from aaam_pipeline.core.errors import UsageError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "annotations"


def command(listing: str, model: Path, out: Path) -> list[str]:
    words = ("-m", "aaam_pipeline", "annotate", listing, "--model", model, "--out", out, "--backend", "torch")
    return [sys.executable, *map(str, words), "--device", "cpu", "--num-workers", "0", "--batch-size", "1"]


@contextmanager
def waiting(model: Path, out: Path) -> "Iterator[subprocess.Popen[str]]":
    """Run a process that holds `out` and waits for the list of its inputs."""
    lock = out.with_name(f".{out.name}.lock")
    words = command("-", model, out)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (lock.exists() and lock.read_text()) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.02)
        yield process
        process.kill()


def names(folder: Path) -> str:
    return "".join(f"{source.location}\n" for source in inputs.find([folder]))


@pytest.mark.slow
def test_the_second_run_leaves_at_once_and_the_first_one_ends_unharmed(
    photos: Path, tiny_bundle: Path, out: Path, tmp_path: Path
) -> None:
    with waiting(tiny_bundle, out) as first:
        started = time.monotonic()
        second = subprocess.run(command(str(photos), tiny_bundle, out), capture_output=True, text=True)
        assert time.monotonic() - started < 20
        assert second.returncode == 2
        assert second.stdout == ""
        assert re.fullmatch(
            rf"error: {out} is being written by another process \(process {first.pid} on "
            rf"{re.escape(socket.gethostname())}, since \d{{4}}-\d\d-\d\dT[^)]*\); wait for it\n",
            second.stderr,
        )
        # nobody else is held up
        annotate(photos, tiny_bundle, tmp_path / "annotations2")
        _, said = first.communicate(names(photos), timeout=120)
        assert first.returncode == 0, said
    assert check(out).inputs == 24
    annotate(photos, tiny_bundle, tmp_path / "alone")
    columns = ["sha256", "status", "scores", "embedding", "labels"]
    assert by_name(out).select(columns).equals(by_name(tmp_path / "alone").select(columns))
    assert [name for name in beside(out) if name != "annotations2"] == []


def test_a_dry_run_waits_for_nobody(photos: Path, tiny_bundle: Path, out: Path) -> None:
    with waiting(tiny_bundle, out) as first:
        watcher = Watcher()
        tally, _ = runner.preview(inputs.find([photos]), tiny_bundle, out, PARTS, watcher)
        # the lock is still the other's
        assert out.with_name(f".{out.name}.lock").is_file()
    assert tally.new == 24
    assert f"{out} is being written by another process (process {first.pid} on" in watcher.text
    runner.preview(inputs.find([photos]), tiny_bundle, out, PARTS, quiet := Watcher())
    assert "written by another" not in quiet.text


def test_the_output_of_a_killed_run_is_free(photos: Path, tiny_bundle: Path, out: Path) -> None:
    with waiting(tiny_bundle, out) as first:
        first.kill()
        first.wait()
    assert json.loads(out.with_name(f".{out.name}.lock").read_text())["pid"] == first.pid
    annotate(photos, tiny_bundle, out)
    check(out)
    assert beside(out) == []


@pytest.mark.slow
def test_an_error_and_ctrl_c_give_the_output_back(photos: Path, tiny_bundle: Path, out: Path) -> None:
    with pytest.raises(UsageError, match="no images"):
        annotate(iter(inputs.find([tiny_bundle])), tiny_bundle, out)
    assert beside(out) == []
    interrupted(photos, tiny_bundle, out)
    assert beside(out) == ["annotations.partial"]
    # in a process of its own: the lock is no matter of this one's memory
    done = subprocess.run(command(str(photos), tiny_bundle, out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr
