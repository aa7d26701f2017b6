"""A Ray cluster of this machine, and looks at its processes."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

ACTOR = "ray::MapWorker"
WAIT_SECONDS = 120


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(place: Path) -> Iterator[tuple[int, str]]:
    """Run a cluster of 2 CPUs that stands in a folder of its own; give its process id and its address."""
    patch = pytest.MonkeyPatch()
    # a cluster lets everyone who can reach it run anything: this one has a token of its own
    patch.setenv("RAY_AUTH_MODE", "token")
    patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    port = free_port()
    words = f"start --head --block --port {port} --num-cpus 2 --num-gpus 0"
    words += " --include-dashboard false --object-store-memory 100000000 --disable-usage-stats"
    log = place / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("ray"), *words.split()], cwd=place, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: "Ray runtime started" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process.pid, f"127.0.0.1:{port}"
    finally:
        # to end in good order takes Ray half a minute
        for each in (*below(process.pid), process.pid):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        process.wait(WAIT_SECONDS)
        patch.undo()


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def below(parent: int) -> dict[int, str]:
    """Return the processes that descend from one, with their command lines."""
    parents, lines = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            lines[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
    found = {parent}
    while more := {process for process, of in parents.items() if of in found} - found:
        found |= more
    return {process: lines[process] for process in found - {parent}}
