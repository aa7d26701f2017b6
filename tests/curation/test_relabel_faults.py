"""`relabel` that is killed, finds no room, or is asked for nonsense: the annotations stay whole."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Invoke

from aaam_pipeline.annotate import verify
from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.curation import kept_labels
from aaam_pipeline.curation import relabel as relabelling
from aaam_pipeline.formats.assignment import Assignment

QUIET = NullReporter()


@pytest.fixture
def copy(annotated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(annotated, tmp_path / "annotations"))


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("step", ["write_checksummed", "publish", "kept_labels.keep", "kept_labels.settle"])
def test_a_run_that_ends_at_any_step_can_be_given_again_and_undone(
    step: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(copy)
    calls = 0

    def killed(*args: object) -> None:
        nonlocal calls
        calls += 1
        # what is settled first is what an earlier run left
        if step != "kept_labels.settle" or calls == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"aaam_pipeline.curation.relabel.{step}", killed)
        with pytest.raises(KeyboardInterrupt):
            relabelling.relabel(copy, Assignment(threshold=0.9), QUIET)
    verify.verify(copy, QUIET)
    if step != "kept_labels.settle":
        assert contents(copy) == before
        relabelling.relabel(copy, Assignment(threshold=0.9), QUIET)
    relabelling.undo(copy)
    assert contents(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == ["annotations"]


def test_a_full_disk_at_any_write_leaves_the_annotations(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(copy)
    real, left = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    refused = 0
    for writes in range(100):
        left = writes
        try:
            relabelling.relabel(copy, Assignment(threshold=0.9), QUIET)
        except AaamError as error:
            refused += "is as it was" in str(error)
        if contents(copy) != before:
            break
        assert not list(copy.parent.glob("*.relabel.partial"))
    assert refused > 5
    verify.verify(copy, QUIET)


@pytest.mark.slow
def test_sigkill_leaves_the_old_or_the_new(copy: Path) -> None:
    before = contents(copy)
    command = [sys.executable, "-m", "aaam_pipeline", "relabel", str(copy), "--quiet", "--threshold"]
    for number, wait in enumerate((0.3, 0.6, 0.8, 1.0)):
        process = subprocess.Popen([*command, str(0.6 + number / 10)])
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        verify.verify(copy, QUIET)
    subprocess.run([*command, "0.99"], check=True)
    verify.verify(copy, QUIET)
    assert contents(copy) != before
    assert kept_labels.undo_folder(copy).is_dir()


def test_damage_to_what_is_kept_is_said(copy: Path, invoke: Invoke) -> None:
    relabelling.relabel(copy, Assignment(threshold=0.9), QUIET)
    before = contents(copy)
    part = kept_labels.undo_folder(copy) / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-5])
    result = invoke("relabel", copy, "--undo")
    assert result.exit_code == 4
    assert "damaged" in result.stderr
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say what decides"),
        (("--threshold", "0.5", "--thresholds", "t.json"), "exclude each other"),
        (("--undo", "--top", "3"), "--undo and --top exclude"),
        (("--undo",), "nothing to undo"),
        (("--thresholds", "none.json"), "none.json: No such file; aaam-pipe thresholds writes one"),
        (("--thresholds", "text.json"), "holds no thresholds"),
        (("--thresholds", "list.json"), "holds no thresholds"),
        (("--thresholds", "empty.json"), "names no label"),
        (("--thresholds", "high.json"), "not a number from 0 to 1"),
        (("--thresholds", "unknown.json"), "'dgo' is not a label; did you mean dog?"),
        (("--thresholds", "twice.csv"), "two thresholds for 'dog'"),
        (("--thresholds", "columns.csv"), "a column label or threshold is missing"),
        (("--thresholds", "binary.csv"), "not text in UTF-8"),
        (("--thresholds", "quote.csv"), "holds no thresholds (unexpected end of data)"),
        (("--model", "nowhere"), "no model 'nowhere'"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    words: tuple[str, ...], message: str, copy: Path, invoke: Invoke, tmp_path: Path
) -> None:
    files = {
        "text.json": b"dog: 0.5",
        "list.json": b"[1, 2]",
        "empty.json": b"{}",
        "high.json": b'{"dog": 1.5}',
        "unknown.json": b'{"dgo": 0.5}',
        "twice.csv": b"label,threshold\ndog,0.5\ndog,0.6\n",
        "columns.csv": b"word,threshold\ndog,0.5\n",
        "binary.csv": b"\xff\xfe\x00",
        "quote.csv": b'label,threshold\ndog,"0.5\n',
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    before = contents(copy)
    result = invoke("relabel", copy, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert contents(copy) == before


def test_another_embedding_is_refused(copy: Path, invoke: Invoke, tmp_path: Path) -> None:
    from conftest import make_bundle

    result = invoke("relabel", copy, "--model", make_bundle(tmp_path / "other", seed=2))
    assert result.exit_code == 2
    assert "computes another embedding" in result.stderr


def test_what_is_no_annotations_folder_is_said(invoke: Invoke, indexed: Path) -> None:
    for folder, message in (("nothing", "nothing is there"), (indexed, "is an index")):
        result = invoke("relabel", folder, "--top", 1)
        assert result.exit_code == 2
        assert message in result.stderr


def test_others_are_waited_for_and_foreign_files_stay(copy: Path, invoke: Invoke) -> None:
    with exclusive(copy):
        result = invoke("relabel", copy, "--top", 1)
    assert result.exit_code == 2
    assert "being written by another process" in result.stderr
    (copy / "notes.txt").write_text("mine")
    result = invoke("relabel", copy, "--top", 1)
    assert result.exit_code == 2
    assert "notes.txt" in result.stderr


def test_an_interrupted_run_is_finished_first(copy: Path, invoke: Invoke) -> None:
    work = copy.with_name("annotations.partial")
    work.mkdir()
    (work / "plan.json").write_text("{}")
    result = invoke("relabel", copy, "--top", 1)
    assert result.exit_code == 2
    assert "was interrupted" in result.stderr
