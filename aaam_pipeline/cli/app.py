"""`aaam-pipe`: annotate photographs, index them, search them by keyword.

Its own options --debug, --verbose and --log-file may also be given after the name of a command. Their values are kept
in the environment, where `errors.cli_errors` reads them, as the stages do.
"""

import copy
import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from aaam_pipeline import __version__
from aaam_pipeline.cli import settings
from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.core.artifacts import PARTIAL
from aaam_pipeline.core.logging import DEBUG, LOG_FILE, VERBOSE

log = logging.getLogger(__name__)
# where commands that resume keep what is unfinished, beside their output
UNFINISHED = {"annotate": f"{{}}{PARTIAL}", "train": ".{}.training"}
ANYWHERE = ("debug", "verbose", "log_file")
# in the order of the help; each is a function of this name, or, of a group, an `app`, in the module of this name
COMMANDS = (
    "annotate", "relabel", "verify", "index", "search", "similar", "dedup", "labels", "thresholds", "review", "health",
    "diff", "teach", "export", "train", "decide", "report", "doctor", "config", "import-keywords",
)  # fmt: skip
GROUPS = ("decisions", "figures", "keywords", "model")
# but for these
MODULES = {"verify": "index", "similar": "search", "report": "paper", "figures": "paper", "config": "settings"}


class Commands(Mapping[str, Any]):
    """The commands and groups by name, each imported and built when it is asked for."""

    def __init__(self) -> None:
        """Begin with none of them."""
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return the command of a name."""
        if name not in self._built:
            if name not in (*COMMANDS, *GROUPS):
                raise KeyError(name)
            self._built[name] = _build(name)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names as the help lists them."""
        return iter((*COMMANDS, *GROUPS))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(COMMANDS) + len(GROUPS)


class Program(TyperGroup):
    """`aaam-pipe` itself."""

    def __init__(self, **attributes: Any) -> None:
        """Take what typer gives a group, but for commands."""
        super().__init__(**attributes)
        self.commands = Commands()  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, none of which is built for it."""
        return list(self.commands)


app = typer.Typer(
    cls=Program,
    name="aaam-pipe",
    help="Annotate folders of photographs with keywords, and search them.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage or unknown word, 3 more failures than --max-failure-rate, missing "
    "pictures or a limit of health, 4 integrity, 130 interrupted.",
    no_args_is_help=True,
    # plain help: rich would cost half of the time that --help takes
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _export(context: typer.Context, param: typer.CallbackParam, value: Any) -> None:
    """Keep a value in the environment until the program ends."""
    if context.resilient_parsing:
        return
    name = str(param.envvar)
    before = os.environ.get(name)
    if value:
        os.environ[name] = str(int(value) if isinstance(value, bool) else value)
        context.call_on_close(lambda: os.environ.pop(name) if before is None else os.environ.update({name: before}))


def _configure(context: typer.Context, without: bool) -> None:
    """Take what the files with settings say as defaults; eager, so that it comes before the other options."""
    if not without:
        found = context.meta[settings.KEY] = settings.read(context)
        context.default_map = found.default_map()


def _version(wanted: bool) -> None:
    if wanted:
        print(f"aaam-pipe {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error.", envvar=DEBUG, callback=_export)
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Log what is chosen and done to stderr; -vv: details, too.",
            envvar=VERBOSE,
            show_default=False,
            callback=_export,
        ),
    ] = 0,
    log_file: Annotated[
        Path | None, typer.Option(help="Append a log with all details to this file.", envvar=LOG_FILE, callback=_export)
    ] = None,
    no_config: Annotated[
        bool,
        typer.Option(
            "--no-config",
            help="Read no project file and no user file.",
            envvar="AAAM_NO_CONFIG",
            is_eager=True,
            callback=_configure,
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Annotate folders of photographs with keywords, and search them."""


class BaseCommand(TyperCommand):
    """A command that takes the options of `aaam-pipe` itself, too, without listing them in its help.

    `names_files`: its arguments are names, none of which is empty.
    """

    names_files = True

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its parameters, then those of the program."""
        shared = [copy.copy(each) for each in ctx.find_root().command.params if each.name in ANYWHERE]
        for each in shared:
            each.hidden, each.expose_value = True, False
        return [*super().get_params(ctx), *shared]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; an empty name, as of a variable that is not set, is not the current folder."""
        options = {name: each for each in self.get_params(ctx) for name in each.opts if not getattr(each, "is_flag", 1)}
        for before, word in pairwise(["", *args]):
            name, equals, value = word.partition("=")
            empty = name if equals and not value else before if not word else ""
            option, given = (name, value) if equals else (before, word)
            if "://" in given and option in options and options[option].type_descriptor.is_path:
                raise typer.BadParameter(f"{option} {given}: {settings.no_url(options[option].name)}", ctx=ctx)
            if empty in options and options[empty].type_descriptor.is_path:
                raise typer.BadParameter(f"{empty} is empty: name a file or folder (the current one is .)", ctx=ctx)
            if not word and before not in options and self.names_files:
                raise typer.BadParameter("an argument is empty (the current folder is .)", ctx=ctx)
        rest = super().parse_args(ctx, args)
        for each in options.values():
            source = ctx.get_parameter_source(each.name)
            if each.type_descriptor.is_path and source and source.name == "ENVIRONMENT":
                given = os.environ.get(each.envvar, "")
                if "://" in given:
                    raise typer.BadParameter(f"{each.envvar} {given}: {settings.no_url(each.name)}", ctx=ctx)
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command, unless a file with settings is wrong."""
        with cli_errors(partial(_keeps_work, ctx.info_name, ctx.params.get("out"))):
            found = settings.current(ctx)
            for file in filter(None, (found.project, found.user)):
                log.info("settings from %s", file.path)
            return super().invoke(ctx)


def _keeps_work(command: str, out: Path | None) -> bool:
    """Return whether a command has unfinished work that it goes on with when it is given again."""
    place = UNFINISHED.get(command)
    return bool(place and out and out.resolve().with_name(place.format(out.resolve().name)).exists())


class QueryCommand(BaseCommand):
    """A command whose query may begin with a minus: `search -crowd dog` needs no `--`."""

    names_files = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; a word with one minus that is no option belongs to the query."""
        names = {*ctx.help_option_names, *(name for each in self.get_params(ctx) for name in each.opts)}
        end = args.index("--") if "--" in args else len(args)
        # with a space before it, which means nothing in a query, it is not taken for an option
        words = [f" {word}" if _is_query(word, names) else word for word in args[:end]]
        return super().parse_args(ctx, words + args[end:])


def _is_query(word: str, names: set[str]) -> bool:
    option = word in names or (word[:2] in names and re.fullmatch(r"=?\d+", word[2:])) or re.fullmatch("-v+", word)
    return word[:1] == "-" and word[1:2] not in ("", "-") and not option


class TeachCommand(BaseCommand):
    """A command whose --yes and --no take all words up to the next option: `--yes dogs/*.jpg`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; the option is repeated before each of its words."""
        words: list[str] = []
        option = ""
        for before, word in pairwise(["", *args]):
            if word.startswith("-") and word != "-":
                option = word if word in ("--yes", "--no") else ""
                words.append(word)
            else:
                words += [option, word] if option and before != option else [word]
        return super().parse_args(ctx, words)


CLASSES: dict[str, type[BaseCommand]] = {"search": QueryCommand, "teach": TeachCommand}


def _build(name: str) -> Any:
    """Import and return a command, or a group of them."""
    function = name.replace("-", "_")
    module = import_module(f"{__package__}.{MODULES.get(name, function)}")
    around = typer.Typer(rich_markup_mode=None, callback=lambda: None)
    if name in GROUPS:
        for command in module.app.registered_commands:
            command.cls = BaseCommand
        around.add_typer(module.app, name=name)
    else:
        around.command(cls=CLASSES.get(name, BaseCommand))(getattr(module, function))
    return typer.main.get_group(around).commands[name]
