"""Everything that has a URL: fsspec's file systems (s3://, gs://, memory:// ...), and files with parts by request.

Credentials are found as each service's own tools find them (environment, profiles, instance roles). fsspec itself reads
further options from the environment: FSSPEC_S3_ANON=true for public buckets, FSSPEC_S3_ENDPOINT_URL=... for others'
S3, FSSPEC_S3='{"profile": "archive"}' for several at once.
"""

import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote_to_bytes, urlsplit

from aaam_pipeline.annotate.inputs import web
from aaam_pipeline.annotate.inputs.base import Facts, InputItem, is_url, reason, to_microseconds, valid_mtime
from aaam_pipeline.annotate.inputs.tree import Entry, FileLister
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import AaamError, ImageError, UsageError
from aaam_pipeline.core.extras import how_to_install

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
# the scheme of what a list from elsewhere may not name
REFUSED = "refused"
_STAMPS = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


class RemoteLister(FileLister):
    """The folders of fsspec's file systems."""

    def entries(self, folder: str) -> Iterator[Entry]:
        """List a folder with the facts of its files."""
        system, path = open_system(folder)
        try:
            listed = system.ls(path, detail=True)
        except OSError:
            raise
        except Exception as error:
            raise AaamError(f"cannot list {path_text(folder)}: {reason(error)}; try again") from None
        own = path.rstrip("/")
        for info in listed:
            full = str(info["name"]).rstrip("/")
            # services show a folder's placeholder among its files
            if full != own:
                yield Entry(full.rpartition("/")[2], info["type"] == "directory", _facts(info))

    def facts(self, file: str) -> Facts:
        """Return what the service says of one file."""
        return facts(file)

    def identity(self, folder: str) -> object:
        """Return None: there are no links."""
        return None


def require(url: str) -> None:
    """Check that a URL's scheme can be read here.

    Raises:
        UsageError: it is unknown, or what reads it is not installed.
    """
    said = missing(url.partition("://")[0].lower())
    if said:
        raise UsageError(f"{path_text(url)}: {said}")


@lru_cache
def missing(scheme: str) -> str:
    """Return why a scheme cannot be read here, "" if it can."""
    if scheme in (*web.SCHEMES, "file"):
        return ""
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError:
        return f"unknown kind of URL; known are s3://, gs://, http(s):// and what fsspec reads, not {scheme}://"
    except ImportError as error:
        if extra := _EXTRAS.get(scheme):
            return f"{scheme}:// needs an extra: {how_to_install(extra)}"
        return reason(error)
    return ""


def open_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it."""
    parts = url.partition("://")
    system = _system(os.getpid(), parts[0].lower(), parts[2].partition("/")[0])
    return system, system._strip_protocol(url)


@lru_cache(maxsize=64)
def _system(process: int, scheme: str, host: str) -> Any:
    """Return one file system for all threads of a process; listings are not kept, they would grow without end.

    s3fs asks for the size of everything it may read in several parts at once: a second request for each image.
    """
    import fsspec

    options = {"max_concurrency": 1} if scheme in ("s3", "s3a") else {}
    return fsspec.core.url_to_fs(f"{scheme}://{host}", use_listings_cache=False, **options)[0]


def look_up(url: str) -> dict[str, Any] | None:
    """Return what a service says of a file or folder; None if there is none.

    Raises:
        UsageError: it may not be read, or the service cannot be reached.
    """
    try:
        system, path = open_system(url)
        return cast("dict[str, Any]", system.info(path))
    except FileNotFoundError:
        return None
    except Exception as error:
        raise UsageError(f"cannot read {path_text(url)}: {reason(error)}") from None


def facts(url: str) -> Facts:
    """Return size and modification time of one file.

    Raises:
        UsageError: it is not there, or may not be read.
    """
    info = look_up(url)
    if info is None:
        raise UsageError(f"no file or folder {path_text(url)}")
    return _facts(info)


def named(url: str) -> InputItem:
    """Return the item for a URL of a list: nothing is asked of the server."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    # a password in a URL is for the server alone
    return InputItem(url, path_text(f"{scheme}://{host.rpartition('@')[2]}"), path_text(path), None, None)


def local_path(url: str) -> str:
    """Return the path in a file:// URL."""
    path = urlsplit(url).path
    if os.name == "nt":
        from urllib.request import url2pathname

        return url2pathname(path)
    # %FF may stand for a byte of a name that is not UTF-8
    return os.fsdecode(unquote_to_bytes(path.encode("utf8", "surrogateescape")))


def read(url: str, start: int | None = None, end: int | None = None) -> tuple[bytes, int | None]:
    """Return the bytes of a URL, or a part of them, and when they were modified if the server says so.

    Raises:
        ImageError: they cannot be read, for a reason in one line.
    """
    scheme = url.partition("://")[0].lower()
    if scheme == REFUSED:
        raise ImageError("unreadable", "a list from elsewhere may not name files of this machine")
    if scheme in web.SCHEMES:
        data, answer = web.get(url, start, end)
        return data, answer.mtime
    if said := missing(scheme):
        raise ImageError("unreadable", said)
    try:
        system, path = open_system(url)
        return system.cat_file(path, start=start, end=end), None
    except FileNotFoundError:
        raise ImageError("unreadable", "No such file or directory") from None
    except Exception as error:
        raise ImageError("unreadable", reason(error)) from None


def stream(location: str, block: int) -> AbstractContextManager[BinaryIO]:
    """Open a local or remote file for reading and seeking; of a remote one `block` bytes are fetched at a time.

    Raises:
        OSError: it cannot be opened.
        ImageError: the server does not give it.
    """
    if not is_url(location):
        return Path(location).open("rb", buffering=min(block, 1 << 20))
    return cast("BinaryIO", io.BufferedReader(_Parts(location, block), block))


def downloaded(url: str) -> AbstractContextManager[BinaryIO]:
    """Fetch a file of the web into a temporary one: not every server sends parts.

    Raises:
        ImageError: the server does not give it.
    """
    import tempfile

    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 the caller closes it
    try:
        web.download(url, file)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


class _Parts(io.RawIOBase):
    """A remote file of which only the parts read are fetched."""

    def __init__(self, url: str, first: int) -> None:
        super().__init__()
        self._url = url
        self._at = 0
        self._start = b""
        if url.partition("://")[0].lower() in web.SCHEMES:
            self._start, answer = web.get(url, 0, first)
            if answer.total is None:
                raise ImageError("unreadable", "the server does not tell the size of the file")
            self._size = answer.total
        else:
            size = facts(url)[0]
            if size is None:
                raise ImageError("unreadable", "the service does not tell the size of the file")
            self._size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        data = self._start[self._at : end] if end <= len(self._start) else read(self._url, self._at, end)[0]
        if len(data) != end - self._at:
            raise ImageError("unreadable", f"{len(data)} bytes came instead of {end - self._at}")
        buffer[: len(data)] = data
        self._at = end
        return len(data)


def _facts(info: dict[str, Any]) -> Facts:
    stamp = next((info[key] for key in _STAMPS if info.get(key) is not None), None)
    size = info.get("size")
    return (None if size is None else int(size)), _moment(stamp)


def _moment(stamp: object) -> int | None:
    """Return a modification time as services give it: a date, a text, or seconds since 1970."""
    try:
        if isinstance(stamp, str):
            stamp = datetime.fromisoformat(stamp)
        if isinstance(stamp, datetime):
            return to_microseconds(stamp)
        return valid_mtime(int(stamp * 1_000_000)) if isinstance(stamp, int | float) else None
    except ValueError:
        return None
