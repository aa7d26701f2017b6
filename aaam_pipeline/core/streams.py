"""The standard streams of a program: open, whatever its caller closed, and able to print any text."""

import io
import os
import sys


def prepare_streams() -> None:
    """Open the streams that the caller closed (`>&-`) as the null device, and let no character be an error.

    A file that is opened while one of the numbers 0, 1 and 2 is free would get that number, and then what libraries
    print. What a stream's encoding lacks (of a Latin-1 terminal, or of LC_ALL=C) is printed as an escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # it gets the lowest number that is free
            os.open(os.devnull, os.O_RDWR)
    # None is what Python makes of a stream that was closed
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf8")  # noqa: PTH123, SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf8")  # noqa: PTH123, SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
