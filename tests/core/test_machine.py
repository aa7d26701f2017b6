"""What a process takes of its machine: memory that is freed and asked for again, cores within a quota."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aaam_pipeline.core import machine

FAULTS = """
import resource, sys
import numpy as np
from aaam_pipeline.core.machine import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):
    np.ones(10_000_000, np.float32)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc"
)
def test_freed_memory_is_used_again() -> None:
    def faults(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True).stdout)

    # 40 times 40 MB, of which a few are new: it depends on what else lies around them
    assert faults("kept") < faults("as it is") / 4


def groups(folder: Path, lines: str, **files: str) -> None:
    (folder / "own").write_text(lines)
    for name, text in files.items():
        file = folder / "groups" / name.replace("__", "/").replace("_max", ".max").replace("cfs_", "cpu.cfs_")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


ONE = {"cpu__cfs_quota_us": "150000\n", "cpu__cfs_period_us": "100000\n"}
NONE = {"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"}


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("0::/\n", {"cpu_max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu_max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu_max": "5000 100000\n"}, 1),
        ("0::/\n", {"cpu_max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu_max": "3200000 100000\n"}, 8),
        ("0::/\n", {}, 8),
        ("0::/a/b\n", {"a__cpu_max": "300000 100000", "a__b__cpu_max": "max 100000"}, 3),
        ("0::/not/seen\n", {"cpu_max": "400000 100000\n"}, 4),
        ("4:memory:/\n1:cpu:/docker/x\n0::/\n", ONE, 2),
        ("1:cpu:/\n", NONE, 8),
        ("1:cpuset:/\n", ONE, 8),
        ("nonsense\n", {}, 8),
    ],
)
def test_a_quota_of_time_is_worth_so_many_cores(
    lines: str, files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups(tmp_path, lines, **files)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert machine.available_cores() == expected
    machine.limit_openmp()
    assert os.environ.pop("OMP_NUM_THREADS", "8") == str(expected)


@pytest.mark.parametrize(
    ("lines", "name", "limit", "expected"),
    [
        ("0::/\n", "memory.max", "1048576\n", 1 << 20),
        ("0::/\n", "memory.max", "max\n", None),
        ("0::/a\n", "a/memory.max", "4096\n", 4096),
        ("3:memory:/\n", "memory/memory.limit_in_bytes", "8192\n", 8192),
        ("3:memory:/\n", "memory/memory.limit_in_bytes", "9223372036854771712\n", None),
        ("3:cpu:/\n", "memory/memory.limit_in_bytes", "8192\n", None),
    ],
)
def test_memory_is_that_of_the_container(
    lines: str, name: str, limit: str, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups(tmp_path, lines)
    file = tmp_path / "groups" / name
    file.parent.mkdir(parents=True)
    file.write_text(limit)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine.available_memory() == (expected or whole)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no such call on this system")
def test_cores_that_a_process_may_not_use_do_not_count() -> None:
    one = str(min(os.sched_getaffinity(0)))
    program = "from aaam_pipeline.core.machine import available_cores; print(available_cores())"
    before = f"import os; os.sched_setaffinity(0, {{{one}}}); "
    assert subprocess.run([sys.executable, "-c", before + program], check=True, capture_output=True).stdout == b"1\n"


def test_nothing_else_counts_the_cores_of_the_machine() -> None:
    package = Path(machine.__file__).parents[1]
    others = [path.name for path in package.rglob("*.py") if "cpu_count" in path.read_text(encoding="utf8")]
    assert others == ["machine.py"]
