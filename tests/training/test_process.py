"""What training sets for its process."""

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from aaam_pipeline.training import process

if sys.argv[1] == "set up":
    process.set_up(torch.device("cpu"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_freed_memory_is_used_again() -> None:
    def faults(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True).stdout)

    # 40 times 40 MB, of which a few are new: it depends on what else lies around them
    assert faults("set up") < faults("as it is") / 4
