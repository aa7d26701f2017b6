"""Files with settings: the project's (PROJECT, or `[tool.aaam-pipe]` of a `pyproject.toml`) and the user's.

They are read here and not understood: the command line knows which keys there are.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aaam_pipeline.core.errors import UsageError

PROJECT, PYPROJECT, TOOL = "aaam.toml", "pyproject.toml", "aaam-pipe"


class ConfigFile(NamedTuple):
    """A file that was read, and its keys and tables as they are written there."""

    path: Path
    content: dict[str, Any]


def project_file(folder: Path) -> ConfigFile | None:
    """Read the nearest project file: in `folder` or above, up to the home folder or a repository's root.

    Raises:
        UsageError: it cannot be read, or is no TOML.
    """
    for each in _upwards(folder):
        if _is_there(each / PROJECT):
            return ConfigFile(each / PROJECT, _parse(each / PROJECT))
        if (each / PYPROJECT).is_file() and TOOL.encode() in _bytes(each / PYPROJECT):
            table = _parse(each / PYPROJECT).get("tool", {}).get(TOOL)
            if isinstance(table, dict):
                return ConfigFile(each / PYPROJECT, table)
    return None


def user_file() -> ConfigFile | None:
    """Read `~/.config/aaam-pipe/config.toml`, or that below XDG_CONFIG_HOME, if it is there.

    Raises:
        UsageError: it cannot be read, or is no TOML.
    """
    path = user_path()
    return ConfigFile(path, _parse(path)) if _is_there(path) else None


def user_path() -> Path:
    """Return where the user's file is, or would be."""
    named = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    # as the XDG specification has it, a relative path is ignored
    base = named if named.is_absolute() else Path("~/.config").expanduser()
    return base / TOOL / "config.toml"


def _upwards(folder: Path) -> Iterator[Path]:
    home = Path("~").expanduser()
    for each in (folder, *folder.parents):
        yield each
        if each == home or (each / ".git").exists():
            return


def _is_there(path: Path) -> bool:
    """Return whether there is something of this name: a folder or a link to nothing is no settings, and no absence."""
    if path.is_dir() or (path.is_symlink() and not path.exists()):
        what = "a folder" if path.is_dir() else f"a link to {path.readlink()}, which is not there"
        raise UsageError(f"{path} must be a file with settings, not {what}; remove it, or use --no-config")
    return path.is_file()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None


def _parse(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(_bytes(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        # a key and a table of one name
        hint = "; keys for all commands can be in a table [shared]" if "Cannot overwrite" in str(error) else ""
        raise UsageError(f"{path} is not valid TOML: {error}{hint}") from None
