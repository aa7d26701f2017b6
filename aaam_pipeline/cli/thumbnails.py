"""Small pictures of hits, decoded as annotating decodes them: as a viewer would show them."""

from typing import TYPE_CHECKING

from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

    from aaam_pipeline.search import Hit

GONE = "not there any more"
REMOTE = "not on this machine"


def is_remote(hit: "Hit") -> bool:
    """Tell an image behind a URL from a file."""
    return "://" in hit.root


def thumbnail(hit: "Hit", longest: int) -> "Image":
    """Return the picture, its longer side at most `longest` pixels.

    Raises:
        ImageError: it is not on this machine, not there any more, or cannot be decoded.
    """
    # Pillow is a tenth of a second, which a search without pictures need not wait for
    from aaam_pipeline.models import decoding

    if is_remote(hit):
        raise ImageError("unreadable", REMOTE)
    if not hit.file.is_file():
        raise ImageError("unreadable", GONE)
    try:
        content = hit.file.read_bytes()
    except OSError as error:
        raise ImageError("unreadable", f"{path_text(hit.file)}: {error.strerror}") from None
    image, width, height, _ = decoding.squash(content, longest)
    scale = min(1.0, longest / max(width, height))
    return image.resize((max(1, round(width * scale)), max(1, round(height * scale))))
