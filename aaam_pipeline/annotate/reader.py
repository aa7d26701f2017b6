"""The reader: an input -> its bytes -> a `ReadImage`, whatever is wrong with it. Safe to call from many threads.

The bytes come from a file, a part of a tar, a bucket or the web. `decoder_pool` reads in processes of their own and
ahead of the model.
"""

import hashlib
import os
import stat
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from aaam_pipeline.annotate.inputs import InputItem, is_url, remote, shards
from aaam_pipeline.annotate.inputs.base import LARGEST, reason, valid_mtime
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import ImageError
from aaam_pipeline.imaging import MAX_PIXELS, Interpolation
from aaam_pipeline.imaging.hashes import perceptual_hash
from aaam_pipeline.imaging.resizing import DecodedImage, resize_square


class Content(NamedTuple):
    """The bytes as they are now, and when they were modified (microseconds since 1970), None if not known.

    `link_target`: the file, absolute and printable, where a link leads to it, of the file or of a folder above it.
    """

    data: bytes
    mtime: int | None
    link_target: str | None = None


class ReadImage(NamedTuple):
    """An input as read: facts of the file as far as they are known, and the picture or what is wrong with it.

    `mtime` is in microseconds since 1970; `link_target`: as `Content` says; `phash`: as `perceptual_hash` says.
    """

    item: InputItem
    sha256: str | None
    bytes: int | None
    mtime: int | None
    picture: DecodedImage | ImageError
    link_target: str | None = None
    phash: str | None = None


def read(
    item: InputItem,
    size: int,
    max_pixels: int = MAX_PIXELS,
    accept_truncated: bool = False,
    interpolation: Interpolation = "bilinear",
) -> ReadImage:
    """Read one input and decode it to `size` x `size` pixels; an `ImageError` stands for what cannot be decoded."""
    return decode(item, lambda: fetch(item), size, max_pixels, accept_truncated, interpolation)


def decode(
    item: InputItem,
    fetched: Callable[[], Content],
    size: int,
    max_pixels: int,
    accept_truncated: bool = False,
    interpolation: Interpolation = "bilinear",
) -> ReadImage:
    """Decode one input as `read` does; `fetched` returns what `fetch` does, or raises it."""
    try:
        content = fetched()
    except ImageError as error:
        return ReadImage(item, None, item.bytes, item.mtime, error)
    digest = hashlib.sha256(content.data).hexdigest()
    picture: DecodedImage | ImageError
    phash = None
    try:
        decoded = resize_square(content.data, size, max_pixels, accept_truncated, interpolation)
        picture, phash = decoded, perceptual_hash(decoded.pixels_SS3)
    except ImageError as error:
        picture = error
    except MemoryError:
        picture = ImageError("too_large", "not enough memory to decode it")
    mtime = item.mtime if content.mtime is None else content.mtime
    return ReadImage(item, digest, len(content.data), mtime, picture, content.link_target, phash)


def fetch(item: InputItem) -> Content:
    """Return the bytes of one input.

    Raises:
        ImageError: `unreadable` with the reason in one line, or `too_large` (more than 1 GiB).
    """
    if item.offset is not None and item.bytes is None:
        raise ImageError("unreadable", shards.fault(item.location, item.offset))
    if item.location.endswith("/") and not item.location.lower().startswith(("http://", "https://")):
        raise ImageError("unreadable", _fault_of_folder(item.location))
    _check_size(item.bytes or 0)
    try:
        content = _remote(item) if is_url(item.location) else _local(item)
    except (OSError, ValueError) as error:
        raise ImageError("unreadable", reason(error)) from None
    except MemoryError:
        raise ImageError("too_large", "not enough memory to read it") from None
    if item.offset is not None and len(content.data) != item.bytes:
        raise ImageError("unreadable", f"the tar is cut off: {len(content.data)} of {item.bytes} bytes are there")
    return content


def _fault_of_folder(folder: str) -> str:
    """Return why a folder is an input: its pictures could not be listed, or a list names it."""
    try:
        if not is_url(folder):
            os.listdir(folder)  # noqa: PTH208 names need not be UTF-8
    except OSError as error:
        return f"the folder cannot be listed: {reason(error)}"
    return "a folder, not an image"


def _local(item: InputItem) -> Content:
    status = os.lstat(item.location)
    is_link = stat.S_ISLNK(status.st_mode)
    if is_link:
        status = os.stat(item.location)  # noqa: PTH116
    # a named pipe would be waited for without end, a device might do something when it is opened
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("unreadable", "not a regular file")
    with Path(item.location).open("rb", buffering=0) as stream:
        if item.offset is not None:
            stream.seek(item.offset)
            return Content(stream.read(item.bytes), item.mtime)
        status = os.fstat(stream.fileno())
        _check_size(status.st_size)
        mtime = valid_mtime(status.st_mtime_ns // 1000)
        return Content(stream.read(), mtime, link_target(item.location, is_link=is_link))


def link_target(location: str, *, is_link: bool) -> str | None:
    """Return where a file lies, if no link leads there None; a folder is looked at once for all of its files."""
    folder, name = os.path.split(location)
    real = os.path.realpath(location) if is_link else os.path.join(_real_folder(folder), name)  # noqa: PTH118
    return None if os.path.normcase(real) == os.path.normcase(location) else path_text(real)


@lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _remote(item: InputItem) -> Content:
    if item.offset is None:
        data, mtime = remote.read(item.location)
        return Content(data, item.mtime if mtime is None else mtime)
    if not item.bytes:
        return Content(b"", item.mtime)
    return Content(remote.read(item.location, item.offset, item.offset + item.bytes)[0], item.mtime)


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise ImageError("too_large", f"{size} bytes, more than {LARGEST}")
