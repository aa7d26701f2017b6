"""The bytes of one input, from a file, a part of a tar, a bucket or the web. Safe to call from many threads."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from aaam_pipeline.annotate.inputs.base import LARGEST, InputItem, is_url, reason, valid_mtime
from aaam_pipeline.core.errors import ImageError


class Content(NamedTuple):
    """The bytes as they are now, and when they were modified (microseconds since 1970), None if not known."""

    data: bytes
    mtime: int | None


def read(item: InputItem) -> Content:
    """Read the bytes of one item.

    Raises:
        ImageError: `unreadable` with the reason in one line, or `too_large` (more than 1 GiB).
    """
    if item.offset is not None and item.bytes is None:
        raise ImageError("unreadable", f"damaged tar, or cut off: no image was found after byte {item.offset}")
    if item.bytes is not None and item.bytes > LARGEST:
        raise _too_large(item.bytes)
    try:
        content = _remote(item) if is_url(item.location) else _local(item)
    except (OSError, ValueError) as error:
        raise ImageError("unreadable", reason(error)) from None
    except MemoryError:
        raise ImageError("too_large", "not enough memory to read it") from None
    if item.offset is not None and len(content.data) != item.bytes:
        raise ImageError("unreadable", f"the tar is cut off: {len(content.data)} of {item.bytes} bytes are there")
    return content


def _local(item: InputItem) -> Content:
    # a named pipe would be waited for without end, a device might do something when it is opened
    if not stat.S_ISREG(os.stat(item.location).st_mode):  # noqa: PTH116
        raise ImageError("unreadable", "not a regular file")
    with Path(item.location).open("rb", buffering=0) as stream:
        if item.offset is not None:
            stream.seek(item.offset)
            return Content(stream.read(item.bytes), item.mtime)
        status = os.fstat(stream.fileno())
        if status.st_size > LARGEST:
            raise _too_large(status.st_size)
        return Content(stream.read(), valid_mtime(status.st_mtime_ns // 1000))


def _remote(item: InputItem) -> Content:
    from aaam_pipeline.annotate.inputs import remote

    if item.offset is None:
        data, mtime = remote.read(item.location)
        return Content(data, item.mtime if mtime is None else mtime)
    if not item.bytes:
        return Content(b"", item.mtime)
    end = item.offset + item.bytes
    return Content(remote.read(item.location, item.offset, end)[0], item.mtime)


def _too_large(size: int) -> ImageError:
    return ImageError("too_large", f"{size} bytes, more than {LARGEST}")
