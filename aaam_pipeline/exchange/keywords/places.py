"""Which sidecars a photograph has, or gets: `IMG.jpg.xmp` or `IMG.xmp`, beside it or in a mirror of its folder.

`imaging.sidecar_names` tells whose `IMG.xmp` is.
"""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from aaam_pipeline.core.artifacts import absolute
from aaam_pipeline.core.system_names import is_system_file, is_system_folder
from aaam_pipeline.exchange.keywords import files
from aaam_pipeline.imaging.sidecar_names import FOLDERS_KEPT, SUFFIX, FolderNames

Style = Literal["ext", "stem"]


class Places(NamedTuple):
    """Where keywords of a photograph go: the sidecars that there are, or the one to make.

    `hidden`: sidecars that cannot be written, whose keywords one in a mirror would hide.
    """

    existing: list[Path]
    new: Path
    hidden: tuple[Path, ...] = ()


def is_litter(path: str) -> bool:
    """Return whether systems and disks keep their own files there: thumbnails, what was deleted."""
    folder, _, name = path.rpartition("/")
    parts = folder.split("/")
    return is_system_file(name) or any(
        is_system_folder(part, "/".join(parts[: place + 1])) for place, part in enumerate(parts)
    )


class Finder:
    """Finds sidecars of photographs; a folder is listed once while its photographs come one after the other."""

    def __init__(self, style: Style = "ext", mirror: Path | None = None, *, tidy: bool = False) -> None:
        """Choose how new sidecars are called, and where those of folders go that cannot be written to.

        `tidy`: remove what a process that was killed left in the folders that are listed.
        """
        self.style: Style = style
        self.mirror = mirror
        self.tidy = tidy
        self.listing = lru_cache(FOLDERS_KEPT)(self._listed)

    def places(self, photograph: Path) -> Places:
        """Return where keywords of a photograph go; into the mirror where its folder or a sidecar is read-only.

        Raises:
            OSError: the folder cannot be listed.
            PermissionError: it cannot be written to, and there is no mirror.
        """
        found = self.beside(photograph)
        locked = [path for path in found.existing if not os.access(path, os.W_OK)]
        if not locked and os.access(photograph.parent, os.W_OK):
            return found
        if self.mirror is None:
            which = f"the sidecar {locked[0].name}" if locked else "the folder"
            raise PermissionError(f"{which} cannot be written to; --mirror DIR writes sidecars elsewhere")
        new = mirrored(found.new, self.mirror)
        return Places([new] if new.is_file() else [], new, tuple(found.existing))

    def beside(self, photograph: Path) -> Places:
        """Return the sidecars of a photograph in its folder, and the one that it gets if there are none.

        Raises:
            OSError: the folder cannot be listed.
        """
        names = self.listing(photograph.parent)
        by_stem = self.style == "stem" and names.owns_stem(photograph.name)
        new = photograph.with_name((photograph.stem if by_stem else photograph.name) + SUFFIX)
        # one that was made since the folder was listed
        existing = dict.fromkeys([*map(photograph.with_name, names.beside(photograph.name)), new])
        return Places([path for path in existing if path.is_file()], new)

    def _listed(self, folder: Path) -> FolderNames:
        with os.scandir(folder) as entries:
            names = frozenset(entry.name for entry in entries)
        if self.tidy:
            files.clean(folder, names)
        return FolderNames(names)


def mirrored(path: Path, mirror: Path) -> Path:
    """Return where a mirror has a file: below the mirror, with the whole path."""
    whole = absolute(path)
    return mirror.joinpath(whole.drive.rstrip(":").strip("\\/"), *whole.parts[1:])


def below(folder: Path) -> Iterator[Path]:
    """Yield all sidecars in a folder and below it, in order; no link is followed, and no system's folder entered."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        with os.scandir(here) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        folders = [entry for entry in listed if entry.is_dir(follow_symlinks=False)]
        waiting.extend(Path(each.path) for each in reversed(folders) if not is_system_folder(each.name, each.path))
        for entry in listed:
            small = entry.name.lower()
            if small.endswith(SUFFIX) and not small.startswith("._") and entry.is_file():
                yield Path(entry.path)
