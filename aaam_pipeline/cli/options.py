"""Options of `aaam-pipe` itself that may also be given after the name of a command: --debug, --verbose, --log-file.

Their values are kept in the environment, where `errors.cli_errors` reads them, as the stages do.
"""

import copy
import logging
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from aaam_pipeline.cli import settings
from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.core.logging import LOG_FILE, VERBOSE

NO_CONFIG = "AAAM_NO_CONFIG"
log = logging.getLogger(__name__)
ANYWHERE = ("debug", "verbose", "log_file")


def _export(context: typer.Context, param: typer.CallbackParam, value: Any) -> None:
    """Keep a value in the environment until the program ends."""
    if context.resilient_parsing:
        return
    name = str(param.envvar)
    before = os.environ.get(name)
    if value:
        os.environ[name] = str(int(value) if isinstance(value, bool) else value)
        context.call_on_close(lambda: os.environ.pop(name) if before is None else os.environ.update({name: before}))


Debug = Annotated[
    bool,
    typer.Option(
        "--debug", help="Show the traceback of an error.", envvar="AAAM_DEBUG", callback=_export, expose_value=False
    ),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        help="Log what is chosen and done to stderr; -vv: details, too.",
        envvar=VERBOSE,
        show_default=False,
        callback=_export,
        expose_value=False,
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option(
        help="Append a log with all details to this file.", envvar=LOG_FILE, callback=_export, expose_value=False
    ),
]


def _configure(context: typer.Context, without: bool) -> None:
    """Take what the files with settings say as defaults; eager, so that it comes before the other options."""
    if not without:
        found = context.meta[settings.KEY] = settings.read(context)
        context.default_map = found.default_map()


NoConfig = Annotated[
    bool,
    typer.Option(
        "--no-config",
        help="Read no project file and no user file.",
        envvar=NO_CONFIG,
        is_eager=True,
        callback=_configure,
        expose_value=False,
    ),
]


class BaseCommand(TyperCommand):
    """A command that takes the options of `aaam-pipe` itself, too, without listing them in its help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its parameters, then those of the program."""
        shared = [copy.copy(each) for each in ctx.find_root().command.params if each.name in ANYWHERE]
        for each in shared:
            each.hidden = True
        return [*super().get_params(ctx), *shared]

    def invoke(self, ctx: Any) -> Any:
        """Run the command, unless a file with settings is wrong."""
        with cli_errors():
            found = settings.current(ctx)
            for file in filter(None, (found.project, found.user)):
                log.info("settings from %s", file.path)
            return super().invoke(ctx)
