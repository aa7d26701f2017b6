"""The seconds and the peak memory of a command."""

import subprocess
import sys
import time

# a process is counted with the memory of the one that started it: a small one has to
STARTER = """
import os, sys
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def watched(module: str, *arguments: str) -> tuple[float, float]:
    """Run a module; return its seconds and its peak memory in MB. Its failure ends the program."""
    command = [sys.executable, "-c", STARTER, sys.executable, "-m", module, *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{module} {' '.join(arguments)} failed: {done.stderr.strip()}")
    return seconds, int(done.stdout.split()[-1]) / 1024
