import json
import os
import socket
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.locks import exclusive

HOLD = """
import sys
from pathlib import Path
from aaam_pipeline.core.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> "subprocess.Popen[str]":
    """Start a process that holds a folder until its standard input is closed."""
    words = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def take(folder: Path) -> None:
    with exclusive(folder):
        assert lock_of(folder).is_file()


def lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def test_the_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    with hold(tmp_path / "out") as first:
        for _ in range(2):
            with pytest.raises(UsageError, match="is being written by another process") as caught:
                take(tmp_path / "out")
            said = str(caught.value)
            assert f"process {first.pid} on {socket.gethostname()}, since " in said
            since = datetime.fromisoformat(said.partition("since ")[2].partition(")")[0])
            assert timedelta(0) <= datetime.now().astimezone() - since < timedelta(minutes=5)
        assert json.loads(lock_of(tmp_path / "out").read_text())["pid"] == first.pid
        # the others are free
        take(tmp_path / "out2")
        take(tmp_path / "deeper" / "out")
    assert first.returncode == 0
    take(tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "deeper"]


def test_a_lock_of_a_killed_process_holds_nobody_up(tmp_path: Path) -> None:
    with hold(tmp_path / "out") as first:
        first.kill()
    assert lock_of(tmp_path / "out").is_file()
    take(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "garbage \0\xff", "{}", "[1, 2]", '{"pid": 1, "host": "elsewhere"}', "null"])
def test_a_lock_file_that_nobody_holds_is_taken_over_whatever_it_says(content: str, tmp_path: Path) -> None:
    lock_of(tmp_path / "out").write_text(content, encoding="latin1")
    take(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b'{"pid": 1}'])
def test_a_holder_that_cannot_be_named_is_refused_all_the_same(content: bytes, tmp_path: Path) -> None:
    with hold(tmp_path / "out"):
        lock_of(tmp_path / "out").write_bytes(content)
        with pytest.raises(UsageError, match="by another process; wait for it"):
            take(tmp_path / "out")


def test_a_lock_ends_with_its_block_also_by_an_error(tmp_path: Path) -> None:
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), exclusive(tmp_path / "out"):
            raise error
        assert list(tmp_path.iterdir()) == []


def test_a_folder_has_one_lock_by_whatever_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path / "real")
    for first, second in (("real", "link"), ("link", "elsewhere/real"), ("real/../real", "real")):
        with hold(tmp_path / first):
            for name in (tmp_path / second, Path(), Path("../link")):
                with pytest.raises(UsageError, match="is being written"):
                    take(name)


def test_the_folder_itself_is_neither_made_nor_touched(tmp_path: Path) -> None:
    with exclusive(tmp_path / "deeper" / "out"):
        assert not (tmp_path / "deeper" / "out").exists()
        (tmp_path / "deeper" / "out").mkdir()
    assert list((tmp_path / "deeper" / "out").iterdir()) == []


@pytest.mark.parametrize("place", ["file/out", "file/deeper/out", "/proc/out"])
def test_a_place_where_no_lock_can_be_made_is_named(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write to") as caught:
        take(tmp_path / place)
    assert str((tmp_path / place).parent) in str(caught.value)


def test_only_one_of_many_processes_at_a_time_gets_in(tmp_path: Path) -> None:
    """Also while lock files come and go: each process adds one to a number that another would overwrite."""
    (tmp_path / "number").write_text("0")
    script = """
import sys, time
from pathlib import Path
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.locks import exclusive
number, done = Path(sys.argv[1]) / "number", 0
while done < 30:
    try:
        with exclusive(Path(sys.argv[1]) / "out"):
            now = int(number.read_text())
            time.sleep(0.001)
            number.write_text(str(now + 1))
            done += 1
    except UsageError as error:
        assert "being written" in str(error), error
"""
    words = [sys.executable, "-c", script, str(tmp_path)]
    processes = [subprocess.Popen(words, env=os.environ) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    assert (tmp_path / "number").read_text() == "120"
    assert not lock_of(tmp_path / "out").exists()
