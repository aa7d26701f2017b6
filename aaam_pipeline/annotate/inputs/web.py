"""http(s): one client for the whole process, with timeouts, retries and a limit of size."""

import io
import re
import time
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from aaam_pipeline.annotate.inputs.base import LARGEST, reason, to_microseconds
from aaam_pipeline.core import http
from aaam_pipeline.core.errors import ImageError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

SCHEMES = http.SCHEMES
# a server that sends a byte now and then never runs into the timeout of a single read
DEADLINE = 300.0


class RemoteFacts(NamedTuple):
    """What a server says of a file: when it was modified (microseconds since 1970), and its whole size for a part."""

    mtime: int | None
    total: int | None


def get(
    url: str, start: int | None = None, end: int | None = None, largest: int = LARGEST
) -> tuple[bytes, RemoteFacts]:
    """Return the content of a URL, or its bytes from `start` up to `end`.

    Raises:
        ImageError: as `download`.
    """
    content = io.BytesIO()
    answer = download(url, content, start, end, largest)
    return content.getvalue(), answer


def download(
    url: str, into: BinaryIO, start: int | None = None, end: int | None = None, largest: int | None = None
) -> RemoteFacts:
    """Write the content of a URL, or a part of it, into an empty file; try again what may pass.

    Raises:
        ImageError: the server refuses or cannot be reached, the content is cut off or larger than `largest`.
    """
    try:
        return http.with_retries(partial(_request, url, into, start, end, largest))
    except http.TransientError as error:
        raise ImageError("unreadable", reason(error)) from None


def _request(url: str, into: BinaryIO, start: int | None, end: int | None, largest: int | None) -> RemoteFacts:
    into.seek(0)
    into.truncate()
    headers = {} if start is None else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
    try:
        with http.request(url, headers) as response:
            if response.status != (200 if start is None else 206):
                wrong = f"HTTP {response.status} {response.reason or ''}".rstrip()
                no_ranges = "the server sends whole files only (no range requests)"
                raise ImageError("unreadable", no_ranges if response.status == 200 else wrong)
            _copy(response, into, largest)
            return RemoteFacts(_modified(response), _total(response))
    except http.PermanentError as error:
        raise ImageError("unreadable", reason(error)) from None
    except OSError as error:
        raise http.TransientError(reason(error)) from None


def _copy(response: "BaseHTTPResponse", into: BinaryIO, largest: int | None) -> None:
    """Copy a body; urllib3 raises when it ends before its length."""
    deadline = time.monotonic() + DEADLINE
    size = 0
    # read1 returns what is there, so a slow server is noticed
    while chunk := response.read1(1 << 20):
        into.write(chunk)
        size += len(chunk)
        if largest is not None and size > largest:
            raise ImageError("too_large", f"more than {largest} bytes")
        if time.monotonic() > deadline:
            raise ImageError("unreadable", f"not finished after {DEADLINE:.0f} seconds")


def _modified(response: "BaseHTTPResponse") -> int | None:
    from email.utils import parsedate_to_datetime

    try:
        return to_microseconds(parsedate_to_datetime(response.headers["Last-Modified"]))
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _total(response: "BaseHTTPResponse") -> int | None:
    found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None
