"""http(s): one client for the whole process, with timeouts, retries and a limit of size."""

import io
import os
import re
import time
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from aaam_pipeline.annotate.sources.base import date_moment, reason
from aaam_pipeline.core.errors import ImageError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

SCHEMES = ("http", "https")
LARGEST = 1 << 30
ATTEMPTS = 4
BACKOFF = 0.5
TIMEOUT = 30.0
# a server that sends a byte now and then never runs into the timeout of a single read
DEADLINE = 300.0
_LONGEST_WAIT = 30.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class Answer(NamedTuple):
    """What a server told of a file: when it was modified (microseconds since 1970), and its whole size for a part."""

    mtime: int | None
    total: int | None


class _AgainError(Exception):
    """A failure that may pass; `wait` is how many seconds the server asks for."""

    def __init__(self, message: str, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait


def get(url: str, start: int | None = None, end: int | None = None, largest: int = LARGEST) -> tuple[bytes, Answer]:
    """Return the content of a URL, or its bytes from `start` up to `end`.

    Raises:
        ImageError: as `download`.
    """
    content = io.BytesIO()
    answer = download(url, content, start, end, largest)
    return content.getvalue(), answer


def download(
    url: str, into: BinaryIO, start: int | None = None, end: int | None = None, largest: int | None = None
) -> Answer:
    """Write the content of a URL, or a part of it, into an empty file; try again what may pass.

    Raises:
        ImageError: the server refuses or cannot be reached, the content is cut off or larger than `largest`.
    """
    for attempt in range(1, ATTEMPTS + 1):
        into.seek(0)
        into.truncate()
        try:
            return _request(url, into, start, end, largest)
        except _AgainError as error:
            if attempt == ATTEMPTS:
                raise ImageError("unreadable", str(error)) from None
            time.sleep(max(BACKOFF * 2 ** (attempt - 1), min(error.wait, _LONGEST_WAIT)))
    raise AssertionError("the last attempt returns or raises")


def _request(url: str, into: BinaryIO, start: int | None, end: int | None, largest: int | None) -> Answer:
    import urllib3

    headers = {"User-Agent": "aaam-pipe"}
    parts = urlsplit(url)
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers |= urllib3.make_headers(basic_auth=secret)
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    if start is not None:
        headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    try:
        response = _pool(os.getpid(), _proxy(parts.scheme, parts.hostname or "")).request(
            "GET",
            url,
            headers=headers,
            preload_content=False,
            retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5),
            timeout=urllib3.Timeout(connect=TIMEOUT, read=TIMEOUT),
        )
    except urllib3.exceptions.HTTPError as error:
        raise _failure(error) from None
    except (ValueError, UnicodeError) as error:
        raise ImageError("unreadable", f"not a URL: {reason(error)}") from None
    try:
        _check(response, start)
        _copy(response, into, largest)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        response.close()
        raise _failure(error) from None
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return Answer(_modified(response), _total(response))


def _check(response: "BaseHTTPResponse", start: int | None) -> None:
    """Raise unless the answer is the content asked for."""
    if response.status == (200 if start is None else 206):
        return
    if response.status == 200:
        raise ImageError("unreadable", "the server sends whole files only (no range requests)")
    known = HTTPStatus(response.status).phrase if response.status in HTTPStatus._value2member_map_ else ""
    said = f"HTTP {response.status} {response.reason or known}".rstrip()
    if response.status in _AGAIN:
        wait = response.headers.get("Retry-After", "")
        raise _AgainError(said, float(wait) if wait.isdecimal() else 0)
    raise ImageError("unreadable", said)


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


def _failure(error: Exception) -> Exception:
    """Return what to raise for a failed connection: a wrong certificate will not pass, the rest may."""
    from urllib3 import exceptions

    cause = getattr(error, "reason", None)
    inner = cause if isinstance(cause, Exception) else error
    if isinstance(inner, exceptions.SSLError):
        return ImageError("unreadable", f"TLS: {reason(inner)}")
    if isinstance(inner, exceptions.ResponseError):
        return ImageError("unreadable", reason(inner))
    if isinstance(inner, exceptions.NameResolutionError):
        return _AgainError("the name of the server cannot be resolved")
    if isinstance(inner, exceptions.NewConnectionError | exceptions.ProxyError):
        return _AgainError("no connection to the server")
    if isinstance(inner, exceptions.TimeoutError):
        return _AgainError(f"no answer within {TIMEOUT:.0f} seconds")
    if isinstance(inner, exceptions.ProtocolError | exceptions.IncompleteRead):
        return _AgainError("the connection broke off before the end of the file")
    return _AgainError(reason(inner))


def _modified(response: "BaseHTTPResponse") -> int | None:
    try:
        return date_moment(parsedate_to_datetime(response.headers["Last-Modified"]))
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _total(response: "BaseHTTPResponse") -> int | None:
    found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _proxy(scheme: str, host: str) -> str | None:
    """Return the proxy that the environment names (HTTPS_PROXY, NO_PROXY)."""
    return None if proxy_bypass(host) else getproxies().get(scheme)


@lru_cache(maxsize=8)
def _pool(process: int, proxy: str | None) -> "PoolManager":
    """Return the connections of a process: a forked one must not speak on its parent's."""
    import urllib3

    if proxy is None:
        return urllib3.PoolManager(num_pools=64, maxsize=32)
    auth = urllib3.util.parse_url(proxy).auth
    headers = urllib3.make_headers(proxy_basic_auth=auth) if auth else None
    return urllib3.ProxyManager(proxy, num_pools=64, maxsize=32, proxy_headers=headers)
