"""A run that is killed leaves whole sidecars, and nothing beside them."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keyword_library import Library, dogs
from xmp_samples import LIGHTROOM, listed

pytestmark = pytest.mark.slow


@pytest.fixture
def library(tmp_path: Path, invoke: Callable[..., Any]) -> Library:
    return Library(tmp_path, invoke)


def test_killed_at_any_moment_no_sidecar_is_half_and_nothing_is_left_beside(library: Library) -> None:
    names = [f"{number}.jpg" for number in range(60)]
    library.add(*names)
    for name in names[::2]:
        library.sidecar(f"{name}.xmp").write_text(LIGHTROOM, "utf8")
    library.annotate(dogs(names))
    command = [sys.executable, "-m", "aaam_pipeline", "keywords", "write", "-q"]
    for wanted in (1, 30):
        process = subprocess.Popen(command, cwd=library.root)
        while process.poll() is None and len(library.names()) - 90 < wanted:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in library.photos.glob("*.xmp"):
            content = path.read_bytes()
            assert content == LIGHTROOM.encode() or "dog" in listed(content, "dc:subject")
    library.write()
    assert {name for name in library.names() if "aaam" in name} == set()
    assert all("dog" in library.texts(f"{name}.xmp") for name in names)


def test_two_runs_at_once_write_every_sidecar_once(library: Library) -> None:
    names = [f"{number}.jpg" for number in range(80)]
    library.annotate(dogs(names))
    command = [sys.executable, "-m", "aaam_pipeline", "keywords", "write", "-q"]
    processes = [subprocess.Popen(command, cwd=library.root) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert library.names() == {*names, *(f"{name}.xmp" for name in names)}
    assert all(library.texts(f"{name}.xmp") == ["dog"] for name in names)
