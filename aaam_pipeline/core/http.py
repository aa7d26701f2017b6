"""One request to a web server: its answer, or in one line what is wrong, and whether it may pass."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

SCHEMES = ("http", "https")
TIMEOUT = 30.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


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


@contextmanager
def request(url: str, headers: Mapping[str, str] = {}, method: str = "GET") -> "Iterator[BaseHTTPResponse]":
    """Yield the answer of a server, its body unread; what goes wrong within the block while reading it counts as well.

    A name and password in the URL are sent as basic authentication.

    Raises:
        TransientError: no connection, no answer in time, a broken transfer, or a status that says "later".
        PermanentError: another status that is no success, or no URL.
    """
    import urllib3

    sent = {"User-Agent": "aaam-pipe", **headers}
    try:
        parts = urlsplit(url)
        if parts.username is not None:
            sent |= urllib3.make_headers(basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}")
            url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        response = _pool(os.getpid(), _proxy(parts.scheme, parts.hostname or "")).request(
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
        # a body that was read to its end has given its connection back; the rest of another one nobody wants
        response.close()


def _status(response: "BaseHTTPResponse") -> Exception:
    known = HTTPStatus(response.status).phrase if response.status in HTTPStatus._value2member_map_ else ""
    said = f"HTTP {response.status} {response.reason or known}".rstrip()
    if response.status in _AGAIN:
        wait = response.headers.get("Retry-After", "")
        return TransientError(said, float(wait) if wait.isdecimal() else 0)
    return PermanentError(said, response.status)


def _failure(error: Exception) -> Exception:
    """Return what to raise for a failed connection: a wrong certificate will not pass, the rest may."""
    from urllib3 import exceptions

    cause = getattr(error, "reason", None)
    inner = cause if isinstance(cause, Exception) else error
    said = " ".join(str(inner).split())
    if isinstance(inner, exceptions.SSLError):
        return PermanentError(f"TLS: {said}")
    if isinstance(inner, exceptions.LocationValueError):
        return PermanentError(f"not a URL: {said}")
    if isinstance(inner, exceptions.ResponseError):
        return PermanentError(said)
    if isinstance(inner, exceptions.NameResolutionError):
        return TransientError("the name of the server cannot be resolved")
    if isinstance(inner, exceptions.NewConnectionError | exceptions.ProxyError):
        return TransientError("no connection to the server")
    if isinstance(inner, exceptions.TimeoutError):
        return TransientError(f"no answer within {TIMEOUT:.0f} seconds")
    if isinstance(inner, exceptions.ProtocolError | exceptions.IncompleteRead):
        return TransientError("the connection broke off before the end of the file")
    return TransientError(said)


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
