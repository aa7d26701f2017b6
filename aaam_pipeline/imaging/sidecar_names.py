"""Which sidecars belong to a photograph, by the names in its folder: `IMG.jpg.xmp`, `IMG.xmp`.

`IMG.xmp` belongs to one photograph: the only one of that name, or, of `IMG.CR2` and `IMG.JPG`, the raw file. Names that
a disk takes for one, of another case or Unicode form, are one here, unless the folder has both.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePath

from aaam_pipeline.core.text import folded
from aaam_pipeline.imaging.formats import FORMATS

SUFFIX = ".xmp"
RAW = frozenset(suffix for kind in FORMATS.values() if "raw file" in kind.name for suffix in kind.suffixes)
VIDEO = frozenset(suffix for kind in FORMATS.values() if "video" in kind.name.lower() for suffix in kind.suffixes)
PHOTOGRAPHS = frozenset(suffix for kind in FORMATS.values() for suffix in kind.suffixes) - VIDEO
FOLDERS_KEPT = 16


class FolderNames:
    """The names in a folder, by what a disk may take for one."""

    def __init__(self, names: frozenset[str]) -> None:
        """Take the names of all files in a folder."""
        self.names = names
        self.same: dict[str, list[str]] = {}
        self.stems: dict[str, list[str]] = {}
        for name in sorted(names):
            self.same.setdefault(folded(name), []).append(name)
            if PurePath(name).suffix.lower() in PHOTOGRAPHS:
                self.stems.setdefault(folded(PurePath(name).stem), []).append(name)

    def beside(self, photograph: str) -> list[str]:
        """Return the names of the sidecars of a photograph, that with its whole name first."""
        full, stem = photograph + SUFFIX, PurePath(photograph).stem + SUFFIX
        own = self.find(stem, photograph) if self.owns_stem(photograph) else None
        return list(dict.fromkeys(filter(None, (self.find(full, photograph), own))))

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


def finder() -> Callable[[Path], list[Path]]:
    """Return what finds the sidecars of a photograph; a folder is listed once while its photographs follow each other.

    It raises OSError where a folder cannot be listed.
    """

    @lru_cache(FOLDERS_KEPT)
    def names(folder: Path) -> FolderNames:
        with os.scandir(folder) as entries:
            return FolderNames(frozenset(entry.name for entry in entries))

    return lambda file: [file.with_name(name) for name in names(file.parent).beside(file.name)]
