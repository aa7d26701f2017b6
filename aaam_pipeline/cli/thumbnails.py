"""The photographs of hits: where they lie now, and small pictures of them, as a viewer would show them."""

from pathlib import Path
from typing import TYPE_CHECKING

from aaam_pipeline.core.artifacts import absolute, path_text
from aaam_pipeline.core.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from aaam_pipeline.search import Hit


def original(hit: "Hit") -> Path:
    """Return the file of a hit, absolute.

    Raises:
        ImageError: there is none; says why.
    """
    if hit.is_remote:
        raise ImageError("unreadable", "not on this machine")
    try:
        file = absolute(hit.file)
        if file.is_file():
            return file
        inside = any(parent.is_file() for parent in file.parents)
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from None
    raise ImageError("unreadable", "inside an archive" if inside else "not there any more")


def thumbnail(hit: "Hit", longest: int) -> "Image":
    """Return the picture, its longer side at most `longest` pixels.

    Raises:
        ImageError: there is no file (`original`), or it cannot be decoded.
    """
    # Pillow is a tenth of a second, which a search without pictures need not wait for
    from aaam_pipeline.imaging import thumbnails

    file = original(hit)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ImageError("unreadable", f"{path_text(file)}: {error.strerror}") from None
    return thumbnails.thumbnail(content, longest)
