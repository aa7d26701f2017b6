"""One request to a web server: its answer, or in one line what is wrong, and whether it may pass; and trying again."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

log = logging.getLogger(__name__)

SCHEMES = ("http", "https")
TIMEOUT = 30.0
# the second attempt follows at once, the next ones after 2, 4, 8 ... times BACKOFF seconds, or when the server says
ATTEMPTS = 4
BACKOFF = 0.5
LONGEST_WAIT = 30.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})

Result = TypeVar("Result")


class TransientError(Exception):
    """A failure that may pass: it is worth another attempt, after `wait` seconds if the server asked for that."""

    def __init__(self, message: str, wait: float = 0) -> None:
        super().__init__(message)
        self.wait = wait


class PermanentError(Exception):
    """A failure that stays: this address does not have what is asked for. `status`: the server's, if it gave one."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def with_retries(
    work: Callable[[], Result], attempts: int = ATTEMPTS, progress: Callable[[], int] = lambda: 0
) -> Result:
    """Return what `work` returns; after a `TransientError` wait, and try again.

    urllib3's `Retry` counts and waits. It cannot drive the loop itself: it repeats requests, but not the reading of a
    body, where a long transfer breaks off. `progress`: a number that grows when more has come; then the attempts are
    counted anew.

    Raises:
        TransientError: the last attempt failed.
    """
    import urllib3

    fresh = urllib3.Retry(attempts - 1, backoff_factor=BACKOFF, backoff_max=LONGEST_WAIT)
    retry, before = fresh, progress()
    while True:
        try:
            return work()
        except TransientError as error:
            now = progress()
            try:
                retry = (fresh if now > before else retry).increment(error=error)
            except urllib3.exceptions.MaxRetryError:
                raise error from None
            before = now
            wait = max(retry.get_backoff_time(), min(error.wait, LONGEST_WAIT))
            log.warning("%s; attempt %d of %d follows in %.1f s", error, len(retry.history) + 1, attempts, wait)
            time.sleep(wait)


@contextmanager
def request(url: str, headers: Mapping[str, str] = {}, method: str = "GET") -> "Iterator[BaseHTTPResponse]":
    """Yield the answer of a server, its body unread; what goes wrong within the block while reading it counts as well.

    A name and password in the URL are sent as basic authentication.

    Raises:
        TransientError: no connection, no answer in time, a broken transfer, or a status that says "later".
        PermanentError: another status that is no success, or no URL.
    """
    # a tenth of the time that a decoding process takes to start
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    sent = {"User-Agent": "aaam-pipe", **headers}
    try:
        parts = urlsplit(url)
        if parts.username is not None:
            sent |= urllib3.make_headers(basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
            url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        log.debug("%s %s", method, url)
        # by the environment (HTTPS_PROXY, NO_PROXY)
        proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
        response = _pool(os.getpid(), proxy).request(
            method,
            url,
            headers=sent,
            preload_content=False,
            retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5),
            timeout=urllib3.Timeout(connect=TIMEOUT, read=TIMEOUT),
        )
    except urllib3.exceptions.HTTPError as error:
        raise _failure(error) from None
    except (ValueError, UnicodeError) as error:
        raise PermanentError(f"not a URL: {' '.join(str(error).split())}") from None
    try:
        if response.status >= 300:
            raise _status(response)
        yield response
    except urllib3.exceptions.HTTPError as error:
        raise _failure(error) from None
    finally:
        # a body that was read to its end has given its connection back; the rest of another one is not needed
        response.close()


def _status(response: "BaseHTTPResponse") -> Exception:
    known = HTTPStatus(response.status).phrase if response.status in HTTPStatus._value2member_map_ else ""
    said = f"HTTP {response.status} {response.reason or known}".rstrip()
    if response.status in _AGAIN:
        return TransientError(said, _retry_after(response))
    return PermanentError(said, response.status)


def _retry_after(response: "BaseHTTPResponse") -> float:
    """Return the seconds that a server asks to wait, maybe as a date (RFC 9110, 10.2.3); 0 if it does not."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isascii() and said.isdigit():
        return float(said)
    then = _seconds_of(said)
    if then is None:
        return 0
    # by the clock of the server, which need not be this one's
    now = _seconds_of(response.headers.get("Date", ""))
    return max(0.0, then - (time.time() if now is None else now))


def _seconds_of(date: str) -> float | None:
    """Return a date of HTTP, in any of its three forms, as seconds since 1970; None if it is none."""
    from email.utils import mktime_tz, parsedate_tz

    try:
        parsed = parsedate_tz(date)
        return None if parsed is None else mktime_tz(parsed)
    except (ValueError, OverflowError):
        return None


def _failure(error: Exception) -> Exception:
    """Return what to raise for a failed connection: a wrong certificate will not pass, the rest may."""
    from urllib3 import exceptions

    cause = getattr(error, "reason", None)
    inner = cause if isinstance(cause, Exception) else error
    said = " ".join(str(inner).split())
    broken = "the connection broke off before the end of the file"
    known = (
        (exceptions.SSLError, PermanentError(f"TLS: {said}")),
        (exceptions.LocationValueError, PermanentError(f"not a URL: {said}")),
        (exceptions.ResponseError, PermanentError(said)),
        (exceptions.NameResolutionError, TransientError("the name of the server cannot be resolved")),
        (exceptions.NewConnectionError | exceptions.ProxyError, TransientError("no connection to the server")),
        (exceptions.TimeoutError, TransientError(f"no answer within {TIMEOUT:.0f} seconds")),
        (exceptions.ProtocolError | exceptions.IncompleteRead, TransientError(broken)),
    )
    return next((failure for kind, failure in known if isinstance(inner, kind)), TransientError(said))


@lru_cache(maxsize=8)
def _pool(process: int, proxy: str | None) -> "PoolManager":
    """Return the connections of a process: a forked one must not speak on its parent's."""
    import urllib3

    if proxy is None:
        return urllib3.PoolManager(num_pools=64, maxsize=32)
    auth = urllib3.util.parse_url(proxy).auth
    headers = urllib3.make_headers(proxy_basic_auth=auth) if auth else None
    return urllib3.ProxyManager(proxy, num_pools=64, maxsize=32, proxy_headers=headers)
