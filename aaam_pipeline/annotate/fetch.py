"""The bytes of one source, from a file, a part of a tar, a bucket or the web. Safe to call from many threads."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from aaam_pipeline.annotate.sources.base import Source, is_url, moment, reason
from aaam_pipeline.core.errors import ImageError

# what is larger is no photograph; reading it would take the memory of all others
LARGEST = 1 << 30


class Content(NamedTuple):
    """The bytes as they are now, and when they were modified (microseconds since 1970), None if not known."""

    data: bytes
    mtime: int | None


def read(source: Source) -> Content:
    """Read the bytes of one source.

    Raises:
        ImageError: `unreadable` with the reason in one line, or `too_large` (more than 1 GiB).
    """
    if source.offset is not None and source.bytes is None:
        raise ImageError("unreadable", f"damaged tar, or cut off: no image was found after byte {source.offset}")
    if source.bytes is not None and source.bytes > LARGEST:
        raise _too_large(source.bytes)
    try:
        content = _remote(source) if is_url(source.location) else _local(source)
    except (OSError, ValueError) as error:
        raise ImageError("unreadable", reason(error)) from None
    except MemoryError:
        raise ImageError("too_large", "not enough memory to read it") from None
    if source.offset is not None and len(content.data) != source.bytes:
        raise ImageError("unreadable", f"the tar is cut off: {len(content.data)} of {source.bytes} bytes are there")
    return content


def _local(source: Source) -> Content:
    # a named pipe would be waited for without end, a device might do something when it is opened
    if not stat.S_ISREG(os.stat(source.location).st_mode):  # noqa: PTH116
        raise ImageError("unreadable", "not a regular file")
    with Path(source.location).open("rb", buffering=0) as stream:
        if source.offset is not None:
            stream.seek(source.offset)
            return Content(stream.read(source.bytes), source.mtime)
        status = os.fstat(stream.fileno())
        if status.st_size > LARGEST:
            raise _too_large(status.st_size)
        return Content(stream.read(), moment(status.st_mtime_ns // 1000))


def _remote(source: Source) -> Content:
    from aaam_pipeline.annotate.sources import remote

    if source.offset is None:
        data, mtime = remote.read(source.location)
        return Content(data, source.mtime if mtime is None else mtime)
    if not source.bytes:
        return Content(b"", source.mtime)
    end = source.offset + source.bytes
    return Content(remote.read(source.location, source.offset, end)[0], source.mtime)


def _too_large(size: int) -> ImageError:
    return ImageError("too_large", f"{size} bytes, more than {LARGEST}")
