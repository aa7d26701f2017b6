"""What a program needs of its surroundings: streams that are open and print any text, names of files in UTF-8."""

import io
import os
import sys


def ensure_utf8_names() -> None:
    """Start Python again in its UTF-8 mode where the locale has another encoding of file names.

    There the same file would have another name in another locale, and pyarrow and DuckDB, which take names as UTF-8,
    would not find it. What is printed stays in the encoding of the terminal.
    """
    if sys.getfilesystemencoding().lower() != "utf-8" and os.environ.get("PYTHONUTF8") != "1" and sys.executable:
        os.environ.setdefault("PYTHONIOENCODING", getattr(sys.stdout, "encoding", None) or "utf8")
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


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
