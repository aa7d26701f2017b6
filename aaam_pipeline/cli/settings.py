"""Options that are not on the command line and not in the environment: from the project file, then the user file.

What the files say becomes the defaults of the options (click's `default_map`), so that a flag wins over a variable, a
variable over the project file, and that over the user file.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from aaam_pipeline.cli import render
from aaam_pipeline.core.config import ConfigFile, project_file, user_file
from aaam_pipeline.core.errors import UsageError

# keys that hold for all commands may be in a table, too: TOML has not both `index = ...` and `[index]`
SHARED = "shared"
KEY = "aaam_pipeline.settings"
TYPES = {bool: ((bool,), "true or false"), int: ((int,), "a whole number"), float: ((int, float), "a number")}
TEXT = ((str,), "text in quotes")
NO_URL = "this is a URL; only inputs may be, outputs are local folders"
MODEL_URL = "this is a URL; `aaam-pipe model add` fetches a model, which is then named"


def no_url(option: str) -> str:
    """Return why the path that an option asks for is no URL."""
    return MODEL_URL if option == "model" else NO_URL


class Setting(NamedTuple):
    """A value of an option, and the file that it is from."""

    value: Any
    file: Path


class Settings(NamedTuple):
    """What the files say, by command ("" for the program itself, "model export" within a group) and parameter.

    `error`: why they could not be read; it is raised when a command is run, and not when its help is asked for.
    """

    project: ConfigFile | None = None
    user: ConfigFile | None = None
    values: Mapping[tuple[str, str], Setting] = {}
    error: UsageError | None = None

    def default_map(self) -> dict[str, Any]:
        """Return the values as click takes them: parameters and, below the names of commands, theirs."""
        defaults: dict[str, Any] = {}
        for (command, name), setting in self.values.items():
            table = defaults
            for each in command.split():
                table = table.setdefault(each, {})
            table[name] = setting.value
        return defaults


def read(context: typer.Context) -> Settings:
    """Read the files for the program whose context this is."""
    try:
        project, user = project_file(Path.cwd()), user_file()
        values: dict[tuple[str, str], Setting] = {}
        for file in filter(None, (user, project)):
            values |= _understand(file, context)
        return Settings(project, user, values)
    except UsageError as error:
        return Settings(error=error)
    except (OSError, RuntimeError):
        # no folder to stand in, or no home: there are no such files
        return Settings()


def current(context: typer.Context) -> Settings:
    """Return what was read when the program began.

    Raises:
        UsageError: the files could not be read.
    """
    found = context.meta.get(KEY, Settings())
    assert isinstance(found, Settings)
    if found.error:
        raise found.error
    return found


def commands(program: Any) -> Iterator[tuple[str, Any]]:
    """Yield the program under the name "", then its commands and those of its groups."""
    yield "", program
    for name, command in program.commands.items():
        inner = getattr(command, "commands", {})
        yield from ((f"{name} {each}", found) for each, found in inner.items()) if inner else [(name, command)]


def options(command: Any) -> dict[str, Any]:
    """Return the options of a command that a file may set, by their keys: --batch-size is batch-size."""
    found = {max(each.opts, key=len).lstrip("-"): each for each in command.params if each.param_type_name == "option"}
    # --version and its like are no settings
    return {key: option for key, option in found.items() if not option.is_eager}


def _understand(file: ConfigFile, context: typer.Context) -> dict[tuple[str, str], Setting]:
    """Return the values of a file; those of a command's own table win over those for all commands.

    Raises:
        UsageError: a key is unknown, or a value is none for it.
    """
    known = {name: options(command) for name, command in commands(context.command)}
    values: dict[tuple[str, str], Setting] = {}
    for table, content in _tables(file, known).items():
        for key, value in content.items():
            # without a table: all commands that would take it from the environment
            takers = {
                name: found[key]
                for name, found in known.items()
                if key in found and (name == table if table else found[key].envvar)
            }
            if not takers:
                raise UsageError(f"{file.path}: {_unknown(key, table, known)}")
            title = f"{_title(table)} {key}" if table else key
            for name, option in takers.items():
                values[name, option.name] = _setting(file, title, value, option, context)
    return values


def _tables(file: ConfigFile, known: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the tables of a file by the commands they are for, first "": the keys for all commands.

    Raises:
        UsageError: a table is not that of a command, or the name of one is no table.
    """
    groups = {name.split()[0] for name in known if " " in name}
    shared: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for key, value in file.content.items():
        if key in groups and isinstance(value, dict):
            tables |= {f"{key} {inner}": each for inner, each in value.items()}
        elif key == SHARED or isinstance(value, dict):
            tables[key] = value
        else:
            shared[key] = value
    for name, table in tables.items():
        if name not in (SHARED, *filter(None, known)):
            nearest = _title(_nearest(name, filter(None, known)))
            raise UsageError(f"{file.path}: there is no command for {_title(name)}; nearest: {nearest}")
        if not isinstance(table, dict):
            raise UsageError(f"{file.path}: {_title(name)} must be a table, not {table!r}")
    return {"": shared | tables.pop(SHARED, {})} | tables


def _setting(file: ConfigFile, key: str, value: Any, option: Any, context: typer.Context) -> Setting:
    """Check a value as the command line would; a relative path is one from the folder of the file."""
    kind = option.type_descriptor
    types, expected = TYPES.get(kind.annotation, TEXT)
    values = value if kind.is_list and isinstance(value, list) else [value]
    for each in values:
        if not isinstance(each, types) or (isinstance(each, bool) and bool not in types):
            raise UsageError(f"{file.path}: {key} must be {expected}, not {each!r}")
    if kind.is_path:
        if not value:
            raise UsageError(f"{file.path}: {key} is empty: name a file or folder (the current one is .)")
        if "://" in value:
            raise UsageError(f"{file.path}: {key} = {value!r}: {no_url(option.name)}")
        path = Path(value).expanduser()
        there = file.path.parent / path
        # a model may be named by its folder or by its name
        is_name = option.name == "model" and not there.exists() and _is_model(value)
        value = str(path if is_name or file.path.parent == Path.cwd() else there)
    value = values if kind.is_list else value
    try:
        option.get_runtime_param().coerce(value, param=option, ctx=context)
    except typer.BadParameter as error:
        reason = error.message.removeprefix("Value error, ")
        raise UsageError(f"{file.path}: {key} = {value!r}: {reason}") from None
    return Setting(value, file.path)


def _is_model(name: str) -> bool:
    from aaam_pipeline.models import library

    return name == library.STARTER or any(model.name == name for model in library.known(Path.cwd()))


def _unknown(key: str, table: str, known: Mapping[str, Mapping[str, Any]]) -> str:
    """Say where a key belongs that is none of a table, or none for all commands, or which one may be meant."""
    if table:
        return f"unknown key {key!r} in {_title(table)}; nearest: {_nearest(key, known[table])}"
    if key in known or any(name.split(" ")[0] == key for name in known):
        return f"{_title(key)} must be a table"
    if tables := [_title(name) for name, found in known.items() if key in found]:
        return f"the key {key!r} belongs to single commands: {', '.join(tables)}"
    names = {each for found in known.values() for each, option in found.items() if option.envvar}
    return f"unknown key {key!r}; nearest: {_nearest(key, names)}"


def _title(name: str) -> str:
    return f"[{name.replace(' ', '.')}]"


def _nearest(word: str, words: Iterable[str]) -> str:
    return str(get_close_matches(word, sorted(words), 1, cutoff=0)[0])


def config(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(help="A command, as in `config annotate`. Default: all of them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, nothing else on stdout.")] = False,
) -> None:
    """Show the value of each option, and where it comes from: environment, project file, user file or default."""
    found = current(context)
    program = context.find_root()
    wanted = " ".join(command or ())
    known = dict(commands(program.command))
    chosen = {name: each for name, each in known.items() if wanted in (name, name.split(" ")[0], "")}
    if not chosen:
        raise UsageError(f"there is no command {wanted!r}; there are {', '.join(filter(None, known))}")
    rows = [row for name, each in chosen.items() for row in _values(name, each, program, found)]
    if as_json:
        for row in rows:
            render.json_line(row)
    else:
        render.rows(["command", "option", "value", "from"], [[*map(_text, row.values())] for row in rows])


def _values(name: str, command: Any, program: Any, found: Settings) -> Iterator[dict[str, Any]]:
    """Yield what is shown of each option of a command, as a command line without options would have it."""
    context = program
    for inner in name.split():
        context = context.command.commands[inner].make_context(inner, [], parent=context, resilient_parsing=True)
    for key, option in options(command).items():
        value, source = option.consume_value(context, {})
        # of its own options the program has read the command line, and put them into the environment
        source = source if name else context.get_parameter_source(option.name)
        setting = found.values.get((name, option.name))
        origins = {"ENVIRONMENT": option.envvar, "DEFAULT_MAP": setting and str(setting.file), "DEFAULT": "default"}
        origin = origins.get(source.name) or "command line"
        yield {"command": name, "option": key, "value": value, "source": origin}


def _text(value: Any) -> str:
    return "" if value is None else str(value) if isinstance(value, str | Path) else json.dumps(value, default=str)
