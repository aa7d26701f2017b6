"""How decoding processes start and end: with whoever reads, or when the parent is stopped or killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path

import pytest
from decoding import (
    EVIL,
    SETUP,
    check_as_read_here,
    children,
    evil,
    good,
    kinds,
    leaving_nothing_behind,
    read,
    write_noise,
)

from aaam_pipeline.annotate import decoder_pool
from aaam_pipeline.annotate.decoder_pool import DecoderPool
from aaam_pipeline.annotate.reader import ReadImage
from aaam_pipeline.core.errors import AaamError

pytestmark = pytest.mark.slow

PARENT = """
import sys
from aaam_pipeline.annotate import inputs
from aaam_pipeline.annotate.decoder import DecodeSetup
from aaam_pipeline.annotate.decoder_pool import DecoderPool
found = inputs.find(sys.argv[1:])
with DecoderPool(DecodeSetup(32, 10**6), 3, 600, "evil_decoder") as pool:
    for image in pool.read(found, 8):
        print(image.item.path, flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("noise"))


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    with leaving_nothing_behind():
        yield


def test_a_module_that_is_not_there_is_one_clear_error(folder: Path) -> None:
    with (
        DecoderPool(SETUP, 2, 60, "no_such_decoder") as pool,
        pytest.raises(AaamError, match=r"a decoding process does not start \(exit code 1\)"),
    ):
        list(pool.read(good(folder), 8))


def test_a_process_that_never_is_ready_is_one_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_pool, "START_SECONDS", 0.5)
    monkeypatch.setattr("sys.executable", "/bin/yes")
    with DecoderPool(SETUP, 2, 60) as pool, pytest.raises(AaamError, match="does not start"):
        list(pool.read(good(folder), 8))


def test_modules_of_the_folder_one_stands_in_are_not_taken_for_ours(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("numpy", "PIL", "queue", "msgspec"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    assert kinds(read(good(folder)[:3])) == ["ok"] * 3


@pytest.mark.parametrize("kind", [GeneratorExit, RuntimeError, KeyboardInterrupt])
def test_whoever_stops_listening_is_not_waited_for(kind: type[BaseException], folder: Path, tmp_path: Path) -> None:
    # one hangs, one is decoding, more are queued
    wanted = [*good(folder)[:1], evil(tmp_path / "a.jpg", b"HANG"), *good(folder)]
    started = time.monotonic()
    try:
        with DecoderPool(SETUP, 2, 60, EVIL) as pool:
            for _ in pool.read(wanted, 8):
                if kind is GeneratorExit:
                    break
                raise kind
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert time.monotonic() - started < 20


def ended(reading: Iterator[ReadImage]) -> None:
    with suppress(CancelledError, AaamError):
        next(reading, None)


def test_whoever_stops_while_a_process_starts_does_not_wait_for_what_hangs(folder: Path, tmp_path: Path) -> None:
    images = [evil(tmp_path / "a.jpg", b"HANG_IN_C"), evil(tmp_path / "b.jpg", b"HANG_IN_C")]
    for pause in (0.0, 0.02, 0.1, 0.2, 0.4):
        started = time.monotonic()
        with DecoderPool(SETUP, 2, 60, EVIL) as pool:
            reading = pool.read(images, 8)
            stopper = threading.Thread(target=ended, args=(reading,), daemon=True)
            stopper.start()
            time.sleep(pause)
        assert time.monotonic() - started < 15
        stopper.join(5)
        assert not stopper.is_alive()


def test_a_second_reading_follows_the_first(folder: Path) -> None:
    with DecoderPool(SETUP, 2, 60) as pool:
        for _ in range(2):
            images = list(pool.read(good(folder), 4))
            check_as_read_here(images, good(folder))


def test_no_images_are_no_work() -> None:
    before = children(os.getpid())
    with DecoderPool(SETUP, 2, 60) as pool:
        assert list(pool.read([], 4)) == []
        assert children(os.getpid()) == before


def test_when_the_parent_is_killed_the_processes_end_also_hanging_ones(folder: Path, tmp_path: Path) -> None:
    names = [tmp_path / "b.jpg", tmp_path / "c.jpg"]
    names[0].write_bytes(b"HANG")
    names[1].write_bytes(b"HANG_IN_C")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    words = [sys.executable, "-c", PARENT, str(folder / "00.png"), *map(str, names)]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == "00.png\n"
            time.sleep(1)
            processes = children(parent.pid)
        finally:
            parent.kill()
    assert len(processes) == 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{process}").exists() for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_is_stopped_for_a_while_blames_no_image(folder: Path, tmp_path: Path) -> None:
    picture = Path(good(folder)[0].location).read_bytes()
    names = [tmp_path / "b.jpg", tmp_path / "c.jpg"]
    for name in names:
        name.write_bytes(b"NAP " + picture)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    program = PARENT.replace("600", "1.5").replace("image.item.path", "image.item.path, image.picture")
    words = [sys.executable, "-c", program, str(folder / "00.png"), *map(str, names)]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("00.png DecodedImage")
        time.sleep(0.3)
        os.killpg(parent.pid, signal.SIGSTOP)
        time.sleep(3)
        os.killpg(parent.pid, signal.SIGCONT)
        assert [line.split("(")[0] for line in parent.stdout if "jpg" in line] == [
            "b.jpg DecodedImage",
            "c.jpg DecodedImage",
        ]
