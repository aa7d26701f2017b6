"""Which sidecars a photograph has, or gets: `IMG.jpg.xmp` or `IMG.xmp`, beside it or in a mirror of its folder.

`IMG.xmp` belongs to one photograph: the only one of that name, or, of `IMG.CR2` and `IMG.JPG`, the raw file. Names that
a disk takes for one, of another case or Unicode form, are one here, unless the folder has both.
"""

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Literal, NamedTuple

from aaam_pipeline.core.artifacts import absolute
from aaam_pipeline.core.system_names import is_system_file, is_system_folder
from aaam_pipeline.core.text import folded
from aaam_pipeline.exchange.keywords import files
from aaam_pipeline.imaging.formats import FORMATS

Style = Literal["ext", "stem"]
SUFFIX = ".xmp"
FOLDERS_KEPT = 16
RAW = frozenset(suffix for kind in FORMATS.values() if "raw file" in kind.name for suffix in kind.suffixes)
VIDEO = frozenset(suffix for kind in FORMATS.values() if "video" in kind.name.lower() for suffix in kind.suffixes)
PHOTOGRAPHS = frozenset(suffix for kind in FORMATS.values() for suffix in kind.suffixes) - VIDEO


class Places(NamedTuple):
    """Where keywords of a photograph go: the sidecars that there are, or the one to make.

    `hidden`: sidecars that cannot be written, whose keywords one in a mirror would hide.
    """

    existing: list[Path]
    new: Path
    hidden: tuple[Path, ...] = ()


class FolderNames:
    """The names in a folder, by what a disk may take for one."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.same: dict[str, list[str]] = {}
        self.stems: dict[str, list[str]] = {}
        for name in sorted(names):
            self.same.setdefault(folded(name), []).append(name)
            if PurePath(name).suffix.lower() in PHOTOGRAPHS:
                self.stems.setdefault(folded(PurePath(name).stem), []).append(name)

    def find(self, name: str, photograph: str) -> str | None:
        """Return the name of a sidecar that is there; `photograph` is the one that it would belong to."""
        if name in self.names:
            return name
        others = [each for each in self.same.get(folded(name), []) if not self.is_of_another(each, photograph)]
        return others[0] if len(others) == 1 else None

    def is_of_another(self, sidecar: str, photograph: str) -> bool:
        """Return whether a photograph of exactly the sidecar's name is there, and is not this one."""
        whose = sidecar[: -len(SUFFIX)]
        exact = [each for each in self.stems.get(folded(whose), []) if PurePath(each).stem == whose]
        own = whose in (photograph, PurePath(photograph).stem)
        return not own and (whose in self.names or bool(exact))

    def owns_stem(self, photograph: str) -> bool:
        """Return whether `IMG.xmp` is that of `IMG.jpg`."""
        stem = PurePath(photograph).stem
        if stem in self.names:
            # IMG.jpg.png: `IMG.jpg.xmp` is that of IMG.jpg
            return False
        siblings = self.stems.get(folded(stem), [])
        if len({PurePath(each).stem for each in siblings}) > 1:
            siblings = [each for each in siblings if PurePath(each).stem == stem]
        raw = [each for each in siblings if PurePath(each).suffix.lower() in RAW]
        return siblings in ([photograph], []) or raw == [photograph]


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
        full, stem = photograph.name + SUFFIX, photograph.stem + SUFFIX
        owns = names.owns_stem(photograph.name)
        found = [names.find(full, photograph.name), names.find(stem, photograph.name) if owns else None]
        new = photograph.with_name(stem if self.style == "stem" and owns else full)
        # one that was made since the folder was listed
        existing = dict.fromkeys([*(photograph.with_name(name) for name in found if name), new])
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
