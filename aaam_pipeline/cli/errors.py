"""How errors become one line and an exit code, the same for commands and for stages.

0 ok - 1 failed - 2 usage or unknown word - 3 finished with more failures than --max-failure-rate, or missing pictures -
4 integrity -
130 interrupted.
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import typer

from aaam_pipeline.core.errors import AaamError, QuerySyntaxError, UsageError
from aaam_pipeline.core.extras import explain
from aaam_pipeline.core.logging import debugging, logging_configured, printable

INTERRUPTED = 130
MAKE_ROOM = "make room, then run the same command again"


@contextmanager
def cli_errors(keeps: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Run a command, with its logs: what a user can cause ends in one line on stderr; AAAM_DEBUG adds the traceback.

    `keeps`: tells, when it is interrupted, whether work is kept that the same command goes on with.
    """
    try:
        with logging_configured():
            yield
            sys.stdout.flush()
    except (typer.Exit, SystemExit):
        raise
    except KeyboardInterrupt:
        kept = "; what was finished is kept, run the same command again to resume"
        _fail(INTERRUPTED, f"interrupted{kept if keeps() else ''}")
    except BrokenPipeError:
        # the reader went away (`| head`): not an error, and Python must not complain about it while it shuts down
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except QuerySyntaxError as error:
        message, *lines = str(error).split("\n")
        _fail(error.exit_code, message, lines)
    except AaamError as error:
        _fail(error.exit_code, str(error))
    except ModuleNotFoundError as error:
        # whatever it is that needs it
        missing = explain(error)
        _fail(UsageError.exit_code if missing else 1, missing or f"{error} (a package is damaged or incomplete)")
    except OSError as error:
        if _disk_is_full(error):
            _fail(1, f"no room on the disk{f' for {error.filename}' if error.filename else ''}; {MAKE_ROOM}")
        path = f"{error.filename}: " if error.filename else ""
        # no disk and no file is at fault there, but what was typed
        wrong = error.errno == errno.ENAMETOOLONG
        _fail(UsageError.exit_code if wrong else 1, f"{path}{error.strerror or error}")
    except Exception as error:
        if _disk_is_full(error):
            _fail(1, f"no room on the disk; {MAKE_ROOM}")
        _fail(1, f"unexpected {type(error).__name__}: {error} (a defect: --debug shows where)")


def _disk_is_full(error: Exception) -> bool:
    """Return whether an error says so; those of libraries in Rust and C++ are no OSError, but have its words."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
    return os.strerror(errno.ENOSPC) in str(error)


def _fail(code: int, message: str, context: Sequence[str] = ()) -> NoReturn:
    """End with one line; a query that cannot be parsed adds `context`, itself and a caret under the error."""
    if debugging():
        traceback.print_exc()
    prefix = "" if code == INTERRUPTED else "error: "
    print(prefix + printable(" ".join(message.split())), *map(printable, context), sep="\n", file=sys.stderr)
    raise typer.Exit(code) from None
