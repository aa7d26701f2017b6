"""Small pictures for people to look at, in the shape of the original."""

from PIL.Image import Image

from aaam_pipeline.imaging.decoding import opened
from aaam_pipeline.imaging.resizing import resize


def thumbnail(content: bytes, longest: int, enlarge: bool = False) -> Image:
    """Decode a file's bytes to RGB, as a viewer would show them; the longer side is `longest` pixels.

    Smaller pictures keep their size, unless `enlarge` is set.

    Raises:
        ImageError: the bytes are no whole image of a known format.
    """

    def fit(width: int, height: int) -> tuple[int, int]:
        scale = longest / max(width, height)
        if scale > 1 and not enlarge:
            return width, height
        return max(1, round(width * scale)), max(1, round(height * scale))

    with opened(content) as image:
        return resize(image, fit)[0]
