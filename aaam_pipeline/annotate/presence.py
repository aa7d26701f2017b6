"""Are the files of rows still there? Asked of single files, and only of those that no input was found for.

    there      the file is there
    gone       it is not, and its folder is: it was deleted or moved
    missing    its folder is not there, or empty: the folder was deleted or moved, or a disk or a share is not mounted
    unknown    it cannot be seen: no permission, no answer, a file of the web, a tar that was not read

Of a file in a tar the tar decides: gone where all members of the tar were listed, or where the tar itself is gone.
"""

import os
import stat
from typing import Literal

from aaam_pipeline.annotate.inputs import remote, web
from aaam_pipeline.annotate.inputs.base import is_url
from aaam_pipeline.annotate.inputs.scope import Scope, location, shards_above
from aaam_pipeline.core.errors import AaamError

Presence = Literal["there", "gone", "missing", "unknown"]


class FileFinder:
    """Looks for the files of rows; each folder is listed once. Safe for several threads."""

    def __init__(self, scope: Scope) -> None:
        """Take what was looked at: tars whose members are known."""
        self._scope = scope
        self._folders: dict[str, Presence] = {}

    def find(self, root: str, path: str) -> Presence:
        """Return whether the file of a row is there."""
        place = location(root, path)
        if any(shard in self._scope.shards for shard in (place, *shards_above(place))):
            return "gone"
        return self._remote(place) if is_url(place) else self._local(place)

    def _remote(self, place: str) -> Presence:
        if place.partition("://")[0].lower() in web.SCHEMES:
            return "unknown"
        shard = next(shards_above(place), None)
        try:
            there = remote.look_up(shard or place) is not None
        except AaamError:
            return "unknown"
        if there:
            return "unknown" if shard else "there"
        return "gone"

    def _local(self, place: str) -> Presence:
        if place.endswith("/"):
            # the row of a folder that could not be listed
            return "unknown" if _listed(place) == "unknown" else "gone"
        try:
            os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError):
            return "unknown"
        else:
            return "there"
        for shard in shards_above(place):
            kind = _kind(shard)
            if kind == "file":
                return "unknown"
            if kind == "nothing":
                place = shard
                break
        folder = os.path.dirname(place)  # noqa: PTH120 a Path for each of a million names takes longer
        if folder not in self._folders:
            self._folders[folder] = _listed(folder)
        return self._folders[folder]


def _kind(path: str) -> str:
    try:
        return "folder" if stat.S_ISDIR(os.stat(path).st_mode) else "file"  # noqa: PTH116
    except (OSError, ValueError):
        return "nothing"


def _listed(folder: str) -> Presence:
    """Return what a folder says of a file that is not in it. Hidden names do not fill it: mount points hold some."""
    try:
        with os.scandir(folder) as entries:
            return "gone" if any(not entry.name.startswith(".") for entry in entries) else "missing"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError:
        return "unknown"
