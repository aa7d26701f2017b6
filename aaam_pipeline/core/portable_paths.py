"""Paths that files of a project hold: from the folder of the file, so that the project can be moved as a whole.

A path that is absolute stays so wherever a file lies; a URL is none.
"""

import os
from pathlib import Path

from aaam_pipeline.core.artifacts import absolute, path_text


def portable(path: Path, folder: Path) -> str:
    """Return `path` as a file in `folder` names it: from there if both are in the current folder, else absolute."""
    named, base, here = absolute(path), absolute(folder), Path.cwd()
    inside = named.is_relative_to(here) and base.is_relative_to(here)
    return path_text(os.path.relpath(named, base) if inside else named)


def located(text: str, folder: Path) -> str:
    """Return the path or URL that a file in `folder` names: a relative path begins there."""
    if is_located(text):
        return text
    return os.path.normpath(Path(path_text(absolute(folder)), text))


def is_located(text: str) -> bool:
    """Return whether a text is a URL or an absolute path."""
    return "://" in text or Path(text).is_absolute()
