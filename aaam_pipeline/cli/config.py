"""`aaam-pipe config`."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from aaam_pipeline.cli import settings
from aaam_pipeline.core.errors import UsageError


def config(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(help="A command, as in `config annotate`. Default: all of them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, nothing else on stdout.")] = False,
) -> None:
    """Show the value of each option, and where it comes from: environment, project file, user file or default."""
    from aaam_pipeline.cli import render

    found = settings.current(context)
    program = context.find_root()
    wanted = " ".join(command or ())
    known = dict(settings.commands(program.command))
    chosen = {name: each for name, each in known.items() if wanted in (name, name.split(" ")[0], "")}
    if not chosen:
        raise UsageError(f"there is no command {wanted!r}; there are {', '.join(filter(None, known))}")
    rows = [
        (name, key, value, source)
        for name, each in chosen.items()
        for key, value, source in _values(name, each, program, found)
    ]
    if as_json:
        for name, key, value, source in rows:
            render.json_line({"command": name, "option": key, "value": value, "source": source})
    else:
        render.rows(
            ["command", "option", "value", "from"],
            [[name, key, _text(value), source] for name, key, value, source in rows],
        )


def _values(
    name: str, command: Any, program: Any, found: settings.Settings
) -> Iterator[tuple[str, str | int | float | list[str] | None, str]]:
    """Yield the key, value and source of each option, as a command line without options would have them."""
    context = program
    for inner in name.split():
        context = context.command.commands[inner].make_context(inner, [], parent=context, resilient_parsing=True)
    for key, option in settings.options(command).items():
        value, source = option.consume_value(context, {})
        # of its own options the program has read the command line, and put them into the environment
        source = source if name else context.get_parameter_source(option.name)
        setting = found.values.get((name, option.name))
        origins = {"ENVIRONMENT": option.envvar, "DEFAULT_MAP": setting and str(setting.file), "DEFAULT": "default"}
        yield key, _plain(value), origins.get(source.name) or "command line"


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _plain(value: Any) -> str | int | float | list[str] | None:
    if isinstance(value, list | tuple):
        return [str(each) for each in value]
    return value if value is None or isinstance(value, int | float) else str(value)
