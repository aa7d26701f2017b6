"""One request to a web server: its answer, or in one line what is wrong, and whether it may pass."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

TIMEOUT = 30.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


class PassingError(Exception):
    """A failure that may pass: it is worth another attempt."""


class RefusedError(Exception):
    """A failure that stays: this address does not have what is asked for. `status`: the server's, if it gave one."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def request(url: str, headers: Mapping[str, str] = {}, method: str = "GET") -> "Iterator[BaseHTTPResponse]":
    """Yield the answer of a server, its body unread; what goes wrong within the block while reading it counts as well.

    Raises:
        PassingError: no connection, no answer in time, a broken transfer, or a status that says "later".
        RefusedError: another status that is no success, or no URL.
    """
    import urllib3

    try:
        response = _pool(_proxy(url)).request(
            method,
            url,
            headers={"User-Agent": "aaam-pipe", "Accept-Encoding": "identity", **headers},
            preload_content=False,
            retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5),
            timeout=urllib3.Timeout(connect=TIMEOUT, read=TIMEOUT),
        )
    except (urllib3.exceptions.HTTPError, ValueError, UnicodeError) as error:
        raise _failure(error) from None
    try:
        if response.status >= 300:
            raise _status(response.status)
        yield response
    except urllib3.exceptions.HTTPError as error:
        raise _failure(error) from None
    finally:
        # the rest of a body that nobody wants is not read to its end
        response.close()


def _status(status: int) -> Exception:
    known = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    said = f"HTTP {status} {known}".rstrip()
    return PassingError(said) if status in _AGAIN else RefusedError(said, status)


def _failure(error: Exception) -> Exception:
    from urllib3 import exceptions

    cause = getattr(error, "reason", None)
    inner = cause if isinstance(cause, Exception) else error
    if isinstance(inner, exceptions.SSLError):
        return RefusedError(f"TLS: {' '.join(str(inner).split())}")
    if isinstance(inner, exceptions.LocationValueError | exceptions.ResponseError | ValueError):
        return RefusedError(f"no use: {' '.join(str(inner).split())}")
    if isinstance(inner, exceptions.NameResolutionError):
        return PassingError("the name of the server cannot be resolved")
    if isinstance(inner, exceptions.NewConnectionError | exceptions.ProxyError):
        return PassingError("no connection to the server")
    if isinstance(inner, exceptions.TimeoutError):
        return PassingError(f"no answer within {TIMEOUT:.0f} seconds")
    return PassingError("the connection broke off")


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names (HTTPS_PROXY, NO_PROXY)."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


@lru_cache(maxsize=4)
def _pool(proxy: str | None) -> "PoolManager":
    import urllib3

    if proxy is None:
        return urllib3.PoolManager(num_pools=16, maxsize=32)
    auth = urllib3.util.parse_url(proxy).auth
    headers = urllib3.make_headers(proxy_basic_auth=auth) if auth else None
    return urllib3.ProxyManager(proxy, num_pools=16, maxsize=32, proxy_headers=headers)
