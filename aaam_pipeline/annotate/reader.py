"""The role that reads: a source -> an `Image`, whatever is wrong with it.

`decoders` does it in processes of their own and ahead of the model, `read` in the caller's.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aaam_pipeline.annotate import fetch
from aaam_pipeline.annotate.sources import Source
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging.decoding import MAX_PIXELS
from aaam_pipeline.imaging.resizing import DecodedImage, resize_square


class Image(NamedTuple):
    """An input as read: facts of the file as far as they are known, and the picture or what is wrong with it.

    `mtime` is in microseconds since 1970.
    """

    source: Source
    sha256: str | None
    bytes: int | None
    mtime: int | None
    picture: DecodedImage | ImageError


def read_one(source: Source, size: int, max_pixels: int = MAX_PIXELS) -> Image:
    """Read one input and decode it to `size` x `size` pixels; an `ImageError` stands for what cannot be decoded."""
    return decode(source, fetched(source), size, max_pixels)


def read(sources: Iterable[Source], size: int, max_pixels: int = MAX_PIXELS) -> Iterator[Image]:
    """Yield one `Image` for every source, in order, read in this process: slower, and a crash is a crash."""
    return (read_one(source, size, max_pixels) for source in sources)


def fetched(source: Source) -> fetch.Content | ImageError:
    """Return an input's bytes, or why they cannot be had."""
    try:
        return fetch.read(source)
    except ImageError as error:
        return error


def failed(source: Source, error: ImageError) -> Image:
    """Return the image of which nothing is known but what listing told, and what is wrong with it."""
    return Image(source, None, source.bytes, source.mtime, error)


def decode(source: Source, content: fetch.Content | ImageError, size: int, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode what was fetched."""
    if isinstance(content, ImageError):
        return failed(source, content)
    digest = hashlib.sha256(content.data).hexdigest()
    try:
        picture: DecodedImage | ImageError = resize_square(content.data, size, max_pixels)
    except ImageError as error:
        picture = error
    except MemoryError:
        picture = ImageError("too_large", "not enough memory to decode it")
    mtime = source.mtime if content.mtime is None else content.mtime
    return Image(source, digest, len(content.data), mtime, picture)
