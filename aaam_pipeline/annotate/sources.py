"""Which images are annotated: folders and files on the command line -> a sorted list of inputs."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from aaam_pipeline.core.artifacts import absolute, fingerprint
from aaam_pipeline.core.artifacts import path_text as text
from aaam_pipeline.core.errors import UsageError

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


class Source(NamedTuple):
    """One input: the file, the folder it was found under, and its name below that folder (with `/`)."""

    file: Path
    root: str
    path: str


def find(inputs: Sequence[Path]) -> list[Source]:
    """Return the images of folders (recursively, hidden files left out) and single files, sorted by name in each.

    A file named twice is taken once. A file given by name is taken whatever its suffix: it gets a row in any case.

    Raises:
        UsageError: an input is not there, or there is no image in any of them.
    """
    found: dict[str, Source] = {}
    for given in inputs:
        if given.is_dir():
            root = absolute(given)
            for file in _walk(root):
                found.setdefault(str(file), source(file, root))
        elif given.exists():
            file = absolute(given)
            found.setdefault(str(file), source(file, file.parent))
        else:
            raise UsageError(f"no file or folder {text(given)}")
    if not found:
        names = ", ".join(text(given) for given in inputs)
        raise UsageError(f"no images in {names}: looked for {' '.join(sorted(SUFFIXES))}")
    return list(found.values())


def source(file: Path, root: Path) -> Source:
    """Return the input for a file below a root."""
    return Source(file, text(root), text(file.relative_to(root).as_posix()))


def inputs_hash(sources: Iterable[Source]) -> str:
    """Identify the inputs by name, size and modification time: the same hash means nothing to do again."""

    def facts(source: Source) -> list[str | int]:
        try:
            status = source.file.stat()
        except OSError:
            return [source.root, source.path, -1, -1]
        return [source.root, source.path, status.st_size, status.st_mtime_ns]

    return fingerprint([facts(source) for source in sources])


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(place, name)
