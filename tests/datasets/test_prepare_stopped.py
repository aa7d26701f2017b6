"""Preparing that was stopped or killed resumes where it stood and ends with the same bytes."""

import itertools
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Said
from datasets.gray import SIZE, make_listing, prepared

from aaam_pipeline.datasets import decode, pixels
from aaam_pipeline.datasets import prepare as module
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.datasets.prepare import CODE, prepare
from aaam_pipeline.imaging import resizing
from aaam_pipeline.imaging.resizing import resize_square

KILLED = """
import os, signal, sys
sys.path[:0] = {path}
from pathlib import Path
from datasets.gray import make_listing, prepared
from aaam_pipeline.datasets import decode, pixels
pixels.STEP, decode.AHEAD, seen, resize_square = 2, 0, [], decode.resize_square
def die(content, size, **more):
    seen.append(content)
    if len(seen) > 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return resize_square(content, size, **more)
decode.resize_square = die
prepared(make_listing(Path({raw!r}), train=12), Path({out!r}))
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def interrupted(listing: Listing, out: Path, after: int) -> None:
    """Prepare, and be interrupted when so many pictures were decoded."""
    count = itertools.count(1)

    def stop(content: bytes, size: int, **more: Any) -> Any:
        if next(count) > after:
            raise KeyboardInterrupt
        return resize_square(content, size, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "resize_square", stop)
        with pytest.raises(KeyboardInterrupt):
            prepared(listing, out)
    assert not out.exists()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What has been decoded, but in `interrupted`."""
    contents: list[bytes] = []

    def count(content: bytes, size: int, **more: Any) -> Any:
        contents.append(content)
        return resize_square(content, size, **more)

    monkeypatch.setattr(decode, "resize_square", count)
    return contents


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a line of the journal after every second picture, and decode hardly ahead."""
    monkeypatch.setattr(pixels, "STEP", 2)
    monkeypatch.setattr(decode, "AHEAD", 0)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("after", range(13))
def test_a_stopped_run_resumes_and_ends_with_the_same_bytes(after: int, decoded: list[bytes], tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw", bad=("text", "cut"))
    whole = contents(prepared(listing, tmp_path / "whole"))
    out = tmp_path / "out"
    interrupted(listing, out, after)
    decoded.clear()
    report = Said()
    prepare("gray", listing, out, SIZE, report)
    assert contents(out) == whole
    # of 8, 2 and 3 images; up to three of those that were decoded had not been written down yet
    assert 13 - after <= len(decoded) <= 13 - after + 3
    assert ("resumed after" in report.lines[0]) == (len(decoded) < 13)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw", "whole"]


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("changed", ["listing", "library", "code", "pixels", "journal"])
def test_what_is_not_of_the_same_work_is_begun_anew(
    changed: str, decoded: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = make_listing(tmp_path / "raw")
    interrupted(listing, tmp_path / "out", 5)
    if changed == "listing":
        listing.splits["train"].reverse()
    elif changed == "pixels":
        (tmp_path / "out.partial" / "train" / "pixels.npy").unlink()
    elif changed == "journal":
        (tmp_path / ".out.journal").write_bytes(b"\xff{")
    elif changed == "library":
        monkeypatch.setattr(module, "version", lambda library: "another")
    elif changed == "code":
        monkeypatch.setattr(module.artifacts, "sources_fingerprint", lambda paths: "another")
    prepared(listing, tmp_path / "out")
    assert len(decoded) == 11
    assert contents(tmp_path / "out") == contents(prepared(listing, tmp_path / "whole"))


@pytest.mark.usefixtures("small_steps")
def test_a_journal_that_was_cut_off_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw", train=8)
    for cut in (1, 20):
        interrupted(listing, tmp_path / "out", 6)
        journal = tmp_path / ".out.journal"
        journal.write_bytes(journal.read_bytes()[:-cut])
    prepared(listing, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(prepared(listing, tmp_path / "whole"))


@pytest.mark.parametrize(("step", "decodes"), [("write_checksummed", 0), ("_write_examples", 0), ("publish", 11)])
def test_a_run_that_was_stopped_at_its_very_end_resumes(
    step: str, decodes: int, decoded: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = make_listing(tmp_path / "raw")
    whole = contents(prepared(listing, tmp_path / "whole"))
    with monkeypatch.context() as patch:
        owner: Any = module if step == "_write_examples" else module.artifacts
        real = getattr(owner, step)

        def stop(*arguments: Any) -> None:
            if step != "publish":
                real(*arguments)
            if step != "_write_examples" or arguments[1].parent.name == "test":
                raise KeyboardInterrupt

        patch.setattr(owner, step, stop)
        with pytest.raises(KeyboardInterrupt):
            prepared(listing, tmp_path / "out")
    (tmp_path / "out.partial" / ".stray.partial").touch()
    decoded.clear()
    prepared(listing, tmp_path / "out")
    assert contents(tmp_path / "out") == whole
    assert len(decoded) == decodes


def test_a_killed_run_resumes_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    script = KILLED.format(path=sys.path, raw=str(tmp_path / "raw"), out=str(tmp_path / "out"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100)
    assert done.returncode == -signal.SIGKILL, done.stderr
    shutil.rmtree(tmp_path / "raw")
    listing = make_listing(tmp_path / "raw", train=12)
    report = Said()
    prepare("gray", listing, tmp_path / "out", SIZE, report)
    assert "17 images, resumed after " in report.lines[0]
    assert contents(tmp_path / "out") == contents(prepared(listing, tmp_path / "whole"))


def test_the_code_that_resumed_work_must_share_decodes_and_writes_pixels_on_however_many_threads() -> None:
    package = Path(module.__file__).parents[1]
    code = [package / path for path in CODE]
    assert all(path.exists() for path in code)
    for needed, file in ((True, resizing.__file__), (True, pixels.__file__), (False, decode.__file__)):
        assert any(map(Path(file).is_relative_to, code)) is needed
