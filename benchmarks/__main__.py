"""Run the benchmarks and print their tables as Markdown: `make bench`, or `python -m benchmarks search`."""

import platform
import sys
from datetime import UTC, datetime

import torch

from benchmarks import annotate, backends, decode, memory, methods, prepare, search, training

SUITES = {
    "annotate": annotate.run,
    "backends": backends.run,
    "decode": decode.run,
    "memory": memory.run,
    "methods": methods.run,
    "prepare": prepare.run,
    "search": search.run,
    "training": training.run,
}


def main() -> None:
    """Run the suites named on the command line, or all of them."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    print(f"{now}, {platform.machine()}, {device}, torch {torch.__version__}\n")
    for name in sys.argv[1:] or SUITES:
        if name not in SUITES:
            sys.exit(f"no benchmark {name!r}; known: {', '.join(SUITES)}")
        SUITES[name]()


if __name__ == "__main__":
    main()
