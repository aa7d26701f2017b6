"""The reader: an input -> a `ReadImage`, whatever is wrong with it.

`decoder_pool` does it in processes of their own and ahead of the model, `read` in the caller's.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aaam_pipeline.annotate import fetch
from aaam_pipeline.annotate.inputs import InputItem
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging import MAX_PIXELS
from aaam_pipeline.imaging.resizing import DecodedImage, resize_square


class ReadImage(NamedTuple):
    """An input as read: facts of the file as far as they are known, and the picture or what is wrong with it.

    `mtime` is in microseconds since 1970.
    """

    item: InputItem
    sha256: str | None
    bytes: int | None
    mtime: int | None
    picture: DecodedImage | ImageError


def read_one(item: InputItem, size: int, max_pixels: int = MAX_PIXELS) -> ReadImage:
    """Read one input and decode it to `size` x `size` pixels; an `ImageError` stands for what cannot be decoded."""
    return decode(item, fetched(item), size, max_pixels)


def read(items: Iterable[InputItem], size: int, max_pixels: int = MAX_PIXELS) -> Iterator[ReadImage]:
    """Yield one `ReadImage` for every item, in order, read in this process: slower, and a crash is a crash."""
    return (read_one(item, size, max_pixels) for item in items)


def fetched(item: InputItem) -> fetch.Content | ImageError:
    """Return an input's bytes, or why they cannot be had."""
    try:
        return fetch.read(item)
    except ImageError as error:
        return error


def failed(item: InputItem, error: ImageError) -> ReadImage:
    """Return the image of which only the listing's facts are known, and what is wrong with it."""
    return ReadImage(item, None, item.bytes, item.mtime, error)


def decode(item: InputItem, content: fetch.Content | ImageError, size: int, max_pixels: int = MAX_PIXELS) -> ReadImage:
    """Decode what was fetched."""
    if isinstance(content, ImageError):
        return failed(item, content)
    digest = hashlib.sha256(content.data).hexdigest()
    try:
        picture: DecodedImage | ImageError = resize_square(content.data, size, max_pixels)
    except ImageError as error:
        picture = error
    except MemoryError:
        picture = ImageError("too_large", "not enough memory to decode it")
    mtime = item.mtime if content.mtime is None else content.mtime
    return ReadImage(item, digest, len(content.data), mtime, picture)
