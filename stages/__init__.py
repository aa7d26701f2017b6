"""One thin script for each stage of dvc.yaml: paths on the command line, the same functions as the commands."""

import multiprocessing
import signal
import sys
from types import FrameType

from aaam_pipeline.core.machine import limit_openmp
from aaam_pipeline.core.streams import ensure_utf8_names, prepare_streams

ensure_utf8_names()
prepare_streams()
limit_openmp()


def _stop(number: int, frame: FrameType | None) -> None:
    if multiprocessing.parent_process() is None:
        print("interrupted; what was finished is kept, run `dvc repro` again to resume", file=sys.stderr)
    sys.exit(130)


# Ctrl-C while a stage is still loading torch shall not end in a traceback
signal.signal(signal.SIGINT, _stop)
