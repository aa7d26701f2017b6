"""Preparing that was stopped or killed goes on where it stood and ends with the same bytes."""

import itertools
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Said
from datasets.gray import decode, make_listing, prepared
from numpy.typing import NDArray

from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import pixels
from aaam_pipeline.datasets import prepare as module
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.datasets.pixels import Decode
from aaam_pipeline.datasets.prepare import prepare

KILLED = """
import os, signal, sys
sys.path[:0] = {path}
from pathlib import Path
from datasets.gray import decode, make_listing
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import pixels
from aaam_pipeline.datasets.prepare import prepare
pixels.STEP, pixels.AHEAD, seen = 2, 0, []
def die(content):
    seen.append(content)
    if len(seen) > 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(content)
prepare(make_listing(Path({raw!r}), train=12), Path({out!r}), die, 16, NullReporter())
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def interrupted(listing: Listing, out: Path, after: int, key: object = None) -> None:
    """Prepare, and be interrupted when so many pictures were decoded."""
    count = itertools.count(1)

    def stop(content: bytes) -> NDArray[np.uint8]:
        if next(count) > after:
            raise KeyboardInterrupt
        return decode(content)

    with pytest.raises(KeyboardInterrupt):
        prepare(listing, out, stop, 16, NullReporter(), key)
    assert not out.exists()


def counting(decoded: list[bytes]) -> Decode:
    def count(content: bytes) -> NDArray[np.uint8]:
        decoded.append(content)
        return decode(content)

    return count


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a line of the journal after every second picture, and decode hardly ahead."""
    monkeypatch.setattr(pixels, "STEP", 2)
    monkeypatch.setattr(pixels, "AHEAD", 0)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("after", range(13))
def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(after: int, tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw", bad=("text", "cut"))
    whole = contents(prepared(listing, tmp_path / "whole"))
    out = tmp_path / "out"
    interrupted(listing, out, after)
    decoded: list[bytes] = []
    report = Said()
    prepare(listing, out, counting(decoded), 16, report)
    assert contents(out) == whole
    # of 8, 2 and 3 images; up to three of those that were decoded had not been written down yet
    assert 13 - after <= len(decoded) <= 13 - after + 3
    assert ("goes on after" in report.lines[0]) == (len(decoded) < 13)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw", "whole"]


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("changed", ["listing", "key", "pixels", "journal"])
def test_what_is_not_of_the_same_work_is_begun_anew(changed: str, tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw")
    interrupted(listing, tmp_path / "out", 5, key="one")
    if changed == "listing":
        listing.splits["train"].reverse()
    elif changed == "pixels":
        (tmp_path / "out.partial" / "train" / "pixels.npy").unlink()
    elif changed == "journal":
        (tmp_path / ".out.journal").write_bytes(b"\xff{")
    decoded: list[bytes] = []
    prepare(listing, tmp_path / "out", counting(decoded), 16, NullReporter(), "two" if changed == "key" else "one")
    assert len(decoded) == 11
    assert contents(tmp_path / "out") == contents(prepared(listing, tmp_path / "whole"))


@pytest.mark.usefixtures("small_steps")
def test_a_journal_that_was_cut_off_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw", train=8)
    for cut in (1, 20):
        interrupted(listing, tmp_path / "out", 6)
        journal = tmp_path / ".out.journal"
        journal.write_bytes(journal.read_bytes()[:-cut])
    prepare(listing, tmp_path / "out", decode, 16, NullReporter())
    assert contents(tmp_path / "out") == contents(prepared(listing, tmp_path / "whole"))


@pytest.mark.parametrize(("step", "decodes"), [("write_checksummed", 0), ("_write_examples", 0), ("publish", 11)])
def test_a_run_that_was_stopped_at_its_very_end_goes_on(
    step: str, decodes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = make_listing(tmp_path / "raw")
    whole = contents(prepared(listing, tmp_path / "whole"))
    with monkeypatch.context() as patch:
        real = getattr(module, step)

        def stop(*arguments: Any) -> None:
            if step != "publish":
                real(*arguments)
            if step != "_write_examples" or arguments[1].parent.name == "test":
                raise KeyboardInterrupt

        patch.setattr(module, step, stop)
        with pytest.raises(KeyboardInterrupt):
            prepared(listing, tmp_path / "out")
    (tmp_path / "out.partial" / ".stray.partial").touch()
    decoded: list[bytes] = []
    prepare(listing, tmp_path / "out", counting(decoded), 16, NullReporter())
    assert contents(tmp_path / "out") == whole
    assert len(decoded) == decodes


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    script = KILLED.format(path=sys.path, raw=str(tmp_path / "raw"), out=str(tmp_path / "out"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert done.returncode == -signal.SIGKILL, done.stderr
    shutil.rmtree(tmp_path / "raw")
    listing = make_listing(tmp_path / "raw", train=12)
    report = Said()
    prepare(listing, tmp_path / "out", decode, 16, report)
    assert "17 images, goes on after " in report.lines[0]
    assert contents(tmp_path / "out") == contents(prepared(listing, tmp_path / "whole"))
