"""What other installed packages add, by entry points; what is wrong with them is one line that names the package."""

import re
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from aaam_pipeline.core.errors import AaamError, UsageError


def plugin_names(group: str) -> list[str]:
    """Return the names in a group of entry points, sorted."""
    return sorted({point.name for point in entry_points(group=group)})


def load_plugin(group: str, name: str, what: str, parts: Sequence[str], marks: str) -> Any | None:
    """Return what an entry point of a group names, or None if no package has one of this name.

    `what`: what it is, for messages ("method"); `parts`: what it must have, all callable; `marks`: what may be in its
    name besides letters and digits.

    Raises:
        UsageError: it cannot be imported or lacks a part, its name is unfit, or two packages have one of this name.
    """
    points = list(entry_points(group=group, name=name))
    if not points:
        return None
    owners = " and ".join(sorted(map(_owner, points)))
    if len(points) > 1:
        raise UsageError(f"the {what} {name!r} is in several packages: {owners}; uninstall all but one")
    said = f"the {what} {name!r} of {owners}"
    if not re.fullmatch(rf"\w[\w{re.escape(marks)}]*", name, re.ASCII):
        raise UsageError(f"the name of {said} may have letters, digits and {' '.join(marks)} only")
    try:
        plugin = points[0].load()
    except (Exception, SystemExit) as error:
        raise UsageError(f"{said} cannot be imported: {_one_line(error)}") from error
    if missing := [part for part in parts if not callable(getattr(plugin, part, None))]:
        raise UsageError(f"{said} has no {' and no '.join(missing)}: a {what} has {', '.join(parts)}")
    return plugin


def call_plugin(name: str, function: Callable[..., Any], *arguments: Any, **params: Any) -> Any:
    """Return what a plug-in's function returns.

    Raises:
        AaamError: the function's own, or in one line any other exception that it raises.
    """
    try:
        return function(*arguments, **params)
    except (AaamError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise AaamError(f"{name} failed: {_one_line(error)}") from error


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
