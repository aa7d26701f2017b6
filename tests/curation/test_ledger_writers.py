"""The ledger keeps what it confirmed: with several writers at once, and with writers that are killed."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from curation.dog_decisions import decided, said

from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.formats.decisions import Decision, encode, read

KILLS = 50
# each decision is confirmed on standard output once `append` has returned
WRITER = """
import os, sys
from pathlib import Path
from typing import Any
from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.formats.decisions import Decision
ledger, number = Ledger(Path(sys.argv[1])), 0
print("ready", flush=True)
for start in sys.stdin:
    # a writer for each kill: to start Python anew each time would take most of the time
    if os.fork() == 0:
        number = int(start)
        while True:
            sha, words = f"{number:064x}", [f"word {each}" for each in range(1 + number % 40)]
            ledger.append([Decision(sha256=sha, label=word, value="yes", by="person") for word in words])
            os.write(1, f"{number}\\n".encode())
            number += 1
    print(os.wait()[1], flush=True)
"""


def test_a_second_writer_waits_and_in_the_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    with (
        exclusive(path),
        pytest.raises(UsageError, match=r"decisions.jsonl is being written by another process .*wait"),
    ):
        Ledger(path, wait=0.1).append([said(1)])
    assert not path.exists()
    entered = threading.Event()

    def hold() -> None:
        with exclusive(path):
            entered.set()
            time.sleep(0.4)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    Ledger(path).append([said(1)])
    thread.join()
    assert decided(path) == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")
def test_several_writers_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    children = []
    for writer in range(4):
        if (child := os.fork()) == 0:
            try:
                for number in range(15):
                    Ledger(path).append([said(100 * writer + number)] * 3)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert decided(path) == [100 * writer + number for writer in range(4) for number in range(15)]
    assert read(path).lines == 4 * 15 * 3
    # the lines of one command stand together
    assert len({path.read_bytes().splitlines()[start : start + 3][0] for start in range(0, 180, 3)}) == 60


def test_no_writer_comes_between_while_lines_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    Ledger(path).append([said(1)])
    waiting: list[threading.Thread] = []

    def make(lines: bytes) -> bytes:
        waiting.append(threading.Thread(target=lambda: Ledger(path).append([said(3)])))
        waiting[0].start()
        time.sleep(0.2)
        return lines + encode(said(2))

    before, after = Ledger(path).rewrite(make)
    waiting[0].join()
    assert after == before + encode(said(2))
    assert decided(path) == [1, 2, 3]
    path.with_name("decisions.jsonl.before").unlink()
    assert Ledger(path).rewrite(lambda lines: lines)[0] == path.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_made_of_the_ledger_misses_no_decision(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    Ledger(path).append([said(1)])
    other = threading.Thread(target=lambda: Ledger(path).append([said(2)]))

    def entries() -> Iterator[Decision]:
        other.start()
        time.sleep(0.2)
        yield from (said(number, "no") for number in decided(path))

    Ledger(path).append(entries())
    other.join()
    assert decided(path) == [2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children by their number")
def test_no_confirmed_decision_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    """SIGKILL at 50 random moments; each writer goes on with what the one before left."""
    path, chance = tmp_path / "decisions.jsonl", random.Random(1)
    confirmed: set[int] = set()
    words = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        for kill in range(KILLS):
            print(1000 * kill, file=process.stdin, flush=True)
            # it has begun; then any moment of some appends
            first = process.stdout.readline()
            confirmed.add(int(first))
            time.sleep(chance.uniform(0, 0.02))
            [child] = _children(process.pid)
            os.kill(child, signal.SIGKILL)
            while (line := process.stdout.readline()) != f"{int(signal.SIGKILL)}\n":
                confirmed.add(int(line))
    found = read(path)
    assert found.skipped == found.cut
    for number in confirmed:
        # all of a command, not only its first lines
        assert len(found.of_image(f"{number:064x}")) == 1 + number % 40
    assert len(confirmed) > KILLS


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
