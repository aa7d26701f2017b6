"""Folders and globs, local and remote: one walk in sorted order that never holds more than one folder's names."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from aaam_pipeline.annotate.inputs.base import Facts, InputItem, NameFilter, file_facts, reason
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import UsageError

log = logging.getLogger(__name__)

UNREADABLE_FOLDER = "unreadable folder"


class Entry(NamedTuple):
    """A name in a folder; its facts where listing gave them."""

    name: str
    folder: bool
    facts: Facts | None = None


class FileLister:
    """Lists folders of this machine, links followed; a subclass those of other file systems."""

    def entries(self, folder: str) -> Iterator[Entry]:
        """List a folder in any order, without looking at each file: the kind comes with the name.

        Raises:
            OSError: it cannot be listed.
        """
        with os.scandir(folder) as entries:
            for entry in entries:
                yield Entry(entry.name, _is_folder(entry))

    def facts(self, file: str) -> Facts:
        """Return size and modification time of a file whose entry has none."""
        return file_facts(file)

    def identity(self, folder: str) -> object:
        """Return what is the same for a folder reached in two ways; None if there is only one way."""
        status = os.stat(folder)  # noqa: PTH116
        return status.st_dev, status.st_ino


class EmptyLister(FileLister):
    """Lists a folder that is not there as an empty one."""

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield nothing."""
        yield from ()

    def identity(self, folder: str) -> object:
        """Return None: there is nothing to be reached twice."""
        return None


class Tree(NamedTuple):
    """A folder to search; for a glob, the folder before its first wildcard."""

    top: str
    name_filter: NameFilter
    lister: FileLister

    def walk(self, skipped: Counter[str]) -> Iterator[InputItem]:
        """Yield the files wanted: those of a folder by name, then its folders by name; count what is left out.

        A folder in it that cannot be listed is counted, and stands for what it holds: an item whose path ends with a
        slash, which fails when it is read.

        Raises:
            UsageError: the folder itself cannot be listed.
        """
        root = path_text(self.top)
        ancestors: list[object] = []
        stack = [iter([""])]
        while stack:
            below = next(stack[-1], None)
            if below is None:
                stack.pop()
                del ancestors[len(stack) - 1 :]
                continue
            folder = self.top if not below else f"{_prefix(self.top)}{below}"
            try:
                identity = self.lister.identity(folder)
                if identity is not None and identity in ancestors:
                    skipped["link loop"] += 1
                    continue
                folders, files, facts = self._list(folder, below, skipped)
            except OSError as error:
                if not below:
                    raise UsageError(f"cannot list {root}: {reason(error)}") from None
                log.info("cannot list %s: %s", path_text(folder), reason(error))
                skipped[UNREADABLE_FOLDER] += 1
                yield InputItem(f"{folder}/", root, f"{path_text(below)}/", None, None)
                continue
            ancestors.append(identity)
            stack.append(iter(folders))
            prefix, shown = _prefix(folder), f"{path_text(below)}/" if below else ""
            for name in files:
                location = prefix + name
                size, mtime = facts.get(name) or self.lister.facts(location)
                yield InputItem(location, root, shown + path_text(name), size, mtime)

    def holds(self, location: str) -> bool:
        """Return whether walking yields a location, without walking."""
        prefix = _prefix(self.top)
        return location.startswith(prefix) and not self.name_filter.refuses(location[len(prefix) :])

    def _list(self, folder: str, below: str, skipped: Counter[str]) -> tuple[list[str], list[str], dict[str, Facts]]:
        """Return paths of the folders to enter, names of the files to take, facts known of these."""
        folders: list[str] = []
        files: list[str] = []
        facts: dict[str, Facts] = {}
        before = f"{below}/" if below else ""
        for name, is_folder, known in self.lister.entries(folder):
            path = before + name
            refuses = self.name_filter.refuses_folder if is_folder else self.name_filter.refuses_file
            refused = refuses(name, path)
            if refused:
                skipped[refused] += 1
            elif is_folder:
                folders.append(path)
            else:
                files.append(name)
                if known:
                    facts[name] = known
        return sorted(folders), sorted(files), facts


def _prefix(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # a link that leads to itself
        return False
