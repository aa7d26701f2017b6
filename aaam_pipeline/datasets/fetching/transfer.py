"""Get one large file from the first of several addresses that has it; a broken transfer resumes where it stopped.

Until it is complete it is `<name>.part`. `<name>.part.json` beside it holds its address and how the server recognises
the same file (ETag or date). It is renamed when its size and checksum are right.
"""

import errno
import hashlib
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from aaam_pipeline.core.artifacts import write_json
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.http import PermanentError, TransientError, request, with_retries
from aaam_pipeline.core.progress import Reporter

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

log = logging.getLogger(__name__)

# a file of gigabytes is worth more patience than a photograph
ATTEMPTS = 6
MB = 10**6


class PartialFile(NamedTuple):
    """A file that is being downloaded to `path`: its final size `bytes` if known exactly, `md5` if known."""

    path: Path
    bytes: int | None
    md5: str | None

    @property
    def notes(self) -> Path:
        """Where its origin is recorded."""
        return self.path.with_name(f"{self.path.name}.json")

    def held(self) -> int:
        """Return how many bytes have been received."""
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self) -> "_PartialNote":
        """Return the recorded origin, or an empty one."""
        try:
            return msgspec.json.decode(self.notes.read_bytes(), type=_PartialNote)
        except (OSError, msgspec.DecodeError):
            return _PartialNote("", None, None)

    def discard(self) -> None:
        """Delete what has been received."""
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


class _PartialNote(msgspec.Struct):
    address: str
    validator: str | None
    total: int | None


def fetch(target: Path, addresses: Sequence[str], bytes: int | None, md5: str | None, report: Reporter) -> None:
    """Download a file to `target`, unless it is there.

    Raises:
        DatasetError: no address has it, or the disk is full; what was received is kept.
    """
    if target.exists():
        log.info("%s is there already", target)
        return
    file = PartialFile(target.with_name(f"{target.name}.part"), bytes, md5)
    failures = []
    for address in addresses:
        log.info("%s is fetched from %s, %d bytes are there", target, address, file.held())
        try:
            _fetch_from(address, file, report)
        except PermanentError as error:
            log.warning("%s: %s", address, error)
            failures.append(f"{address}: {error}")
            continue
        file.path.replace(target)
        file.notes.unlink(missing_ok=True)
        return
    kept = f"; {file.held():,} bytes are kept, the same command resumes there" if file.held() else ""
    raise DatasetError(f"cannot download {target.name} from {'; nor from '.join(failures)}{kept}")


def announced_size(addresses: Sequence[str]) -> int | None:
    """Ask how large a file is, once; None if no server says it."""
    for address in addresses:
        with suppress(TransientError, PermanentError), request(address, method="HEAD") as response:
            length = response.headers.get("Content-Length", "")
            if length.isdecimal():
                return int(length)
    return None


def _fetch_from(address: str, file: PartialFile, report: Reporter) -> None:
    """Download a whole file from one address, trying again as long as more of it is received.

    Raises:
        PermanentError: this address does not provide it.
    """
    for last in (False, True):
        try:
            with_retries(partial(_complete, address, file, report), ATTEMPTS, file.held)
        except TransientError as error:
            raise PermanentError(str(error)) from None
        if file.md5 is None:
            return
        with file.path.open("rb") as stream:
            if hashlib.file_digest(stream, "md5").hexdigest() == file.md5:
                return
        file.discard()
        if not last:
            # its beginning may be that of an older file: once more from the start
            report.info(f"{file.path.stem}: the checksum is wrong, it is fetched again")
    raise PermanentError(f"what comes has not the MD5 {file.md5}")


def _complete(address: str, file: PartialFile, report: Reporter) -> None:
    """Receive what is not there yet."""
    if file.held() and file.held() == file.note().total:
        return
    try:
        _receive(address, file, report)
    except PermanentError as error:
        if error.status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        file.discard()
        raise TransientError("the file there is shorter than what has come of it") from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DatasetError(f"the disk is full: {file.path} needs more; the same command resumes there") from None


def _receive(address: str, file: PartialFile, report: Reporter) -> None:
    headers = _resuming(address, file)
    with request(address, headers) as response:
        held = file.held() if headers and response.status == 206 else 0
        total = _total(response, held, file)
        tag = response.headers.get("ETag", "")
        validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")
        write_json(file.notes, _PartialNote(address, validator, total))
        with (
            report.task(f"{file.path.stem} (MB)", (total or 0) // MB, held // MB) as advance,
            file.path.open("r+b" if held else "wb") as stream,
        ):
            stream.seek(held)
            stream.truncate()
            while chunk := response.read1(1 << 18, decode_content=False):
                stream.write(chunk)
                advance((held + len(chunk)) // MB - held // MB)
                held += len(chunk)
    if total is not None and held != total:
        raise TransientError(f"the connection broke off after {held:,} of {total:,} bytes")


def _resuming(address: str, file: PartialFile) -> dict[str, str]:
    """Return the headers that ask for the rest; none, which asks for all, where the rest might be of another file."""
    note, held = file.note(), file.held()
    validator = note.validator if note.address == address else None
    if not held or not (validator or file.md5) or held >= (file.bytes or held + 1):
        return {}
    return {"Range": f"bytes={held}-"} | ({"If-Range": validator} if validator else {})


def _total(response: "BaseHTTPResponse", held: int, file: PartialFile) -> int | None:
    """Return how large the file is by what the server says, None if it does not.

    Raises:
        PermanentError: it is not the file that is asked for.
        TransientError: it is not the part that was asked for.
    """
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise PermanentError("the server sends a web page, not the file")
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != held:
            file.discard()
            raise TransientError("the server sent another part than was asked for")
        length = found[2]
    else:
        length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    if file.bytes is not None and total not in (None, file.bytes):
        raise PermanentError(f"the file there has {total:,} bytes, not {file.bytes:,}")
    return file.bytes if total is None else total
