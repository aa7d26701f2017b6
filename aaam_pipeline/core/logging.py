"""Where log records of the package go: to stderr (`-v`), to a file (`--log-file`), and nowhere unless asked.

Each module logs through `logging.getLogger(__name__)`. Nothing is configured at import; a program that uses the
package as a library configures the logger `aaam_pipeline` as any other.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aaam_pipeline.core.artifacts import argument_text
from aaam_pipeline.core.errors import UsageError

PACKAGE = "aaam_pipeline"
# what --log-file and -v are to processes and stages that have no such options
LOG_FILE, VERBOSE, DEBUG = "AAAM_LOG_FILE", "AAAM_VERBOSE", "AAAM_DEBUG"
TO_FILE = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
TO_STDERR = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LEVELS = (logging.INFO, logging.DEBUG)
# `extra` of a record that a person sees on stderr already
SHOWN = {"shown": True}
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# these, separators of lines and paragraphs, and what turns the direction of text
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
log = logging.getLogger(__name__)


def printable(text: str) -> str:
    r"""Return text for people, without what a name could change a terminal, forge a line or show another name by.

    Control characters are written as `\xNN`, as are bytes that are not UTF-8; those that turn the direction of text
    (with U+202E `gpj.exe` is shown as `exe.jpg`) as `\uNNNN`.
    """
    return UNPRINTABLE.sub(_escape, argument_text(text))


def printable_lines(value: object) -> object:
    """Return a text as `printable` does, but with its line breaks; all else as it is. For the values of a template."""
    return "\n".join(map(printable, value.split("\n"))) if type(value) is str else value


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def debugging() -> bool:
    """Return whether AAAM_DEBUG asks for tracebacks and for what other processes print."""
    return os.environ.get(DEBUG, "").strip().lower() not in ("", "0", "false", "no", "off", "n", "f")


@contextmanager
def logging_configured() -> Iterator[None]:
    """Write log records as AAAM_VERBOSE and AAAM_LOG_FILE say, while the block runs.

    Raises:
        UsageError: the file cannot be written, or the verbosity is no number.
    """
    logger = logging.getLogger(PACKAGE)
    handlers, before, propagate = _handlers(), logger.level, logger.propagate
    # libraries (OpenVINO is one) give the root logger a handler, which would print every record once more
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    if handlers:
        logger.setLevel(min(handler.level for handler in handlers))
    started = time.monotonic()
    log.info("command: %s", " ".join(sys.argv))
    log.debug("Python %s, process %d, in %s", sys.version.split()[0], os.getpid(), os.environ.get("PWD", ""))
    try:
        yield
    except BaseException as error:
        # Ctrl-C, or a reader of stdout that has gone (`| head`): nothing failed
        level = logging.INFO if isinstance(error, KeyboardInterrupt | BrokenPipeError) else logging.ERROR
        log.log(level, "%s: %s", type(error).__name__, error, exc_info=level == logging.ERROR)
        raise
    finally:
        log.info("ended after %.2f seconds", time.monotonic() - started)
        logger.setLevel(before)
        logger.propagate = propagate
        for handler in handlers:
            logger.removeHandler(handler)
            # a disk that is full was reported when a record could not be written
            with suppress(OSError):
                handler.close()


def _handlers() -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    verbosity, path = os.environ.get(VERBOSE, ""), os.environ.get(LOG_FILE, "")
    if verbosity and not verbosity.isdecimal():
        raise UsageError(f"{VERBOSE} must be 0, 1 or 2, not {verbosity!r}")
    if level := int(verbosity or 0):
        handlers.append(_StderrHandler(LEVELS[min(level, len(LEVELS)) - 1]))
        handlers[-1].setFormatter(_LineFormatter(TO_STDERR, "%H:%M:%S"))
    if path:
        try:
            handlers.append(_FileHandler(path, encoding="utf8", errors="backslashreplace"))
        except OSError as error:
            raise UsageError(f"cannot write the log file {path}: {error.strerror or error}") from None
        handlers[-1].setLevel(logging.DEBUG)
        handlers[-1].setFormatter(_LineFormatter(TO_FILE))
    return handlers


class _LineFormatter(logging.Formatter):
    """Keeps a record on one line, but for a traceback, and passwords in URLs out of it."""

    def format(self, record: logging.LogRecord) -> str:
        return CREDENTIALS.sub("***@", super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))


class _StderrHandler(logging.Handler):
    """Writes to what stderr is at the time: progress bars replace it, so that lines stand above them."""

    def emit(self, record: logging.LogRecord) -> None:
        # an error ends the command in a line of its own; its traceback is for --debug and the log file
        if record.levelno < logging.ERROR and not hasattr(record, "shown"):
            with suppress(OSError):
                print(self.format(record), file=sys.stderr, flush=True)


class _FileHandler(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Stop logging to a file that cannot be written any more; the work itself continues."""
        logging.getLogger(PACKAGE).removeHandler(self)
        print(f"no more is logged to {self.baseFilename}: {sys.exc_info()[1]}", file=sys.stderr)
