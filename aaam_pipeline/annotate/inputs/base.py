"""What every kind of input shares: the item, the options of the search, which names are wanted, facts of a file."""

import os
import re
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase, translate
from typing import NamedTuple

from aaam_pipeline.annotate.options import Selection
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.system_names import is_system_file, is_system_folder
from aaam_pipeline.core.text import nfc
from aaam_pipeline.imaging.formats import FORMATS, SUFFIXES

LIST_SUFFIXES = frozenset({".csv", ".lst", ".parquet", ".tsv", ".txt"})
SHARD_SUFFIX = ".tar"
SIDECAR = "sidecar"
RAW_SUFFIXES = frozenset(each for kind in FORMATS.values() if "a raw file" in kind.name for each in kind.suffixes)
# what is larger is no photograph; reading it would take the memory of all others
LARGEST = 1 << 30
# a scheme of one letter is a Windows drive
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = -62_135_596_800 * 10**6
_LAST = 253_402_300_799 * 10**6

Facts = tuple[int | None, int | None]


class InputItem(NamedTuple):
    """One input image: where its bytes lie, its name in the annotations, and the facts that listing it gave.

    Attributes:
        location: a local path (bytes that are not UTF-8 as `os.fsdecode` gives them) or a URL.
        root: printable: the folder, bucket or host it was found under; root + "/" + path names it.
        path: printable, below the root, with `/`; a tar's member is `<tar below root>/<member>`.
        bytes: its size as listed; None: not known (a URL of a list, a file that is not there or not a regular one).
        mtime: microseconds since 1970; None: not known.
        offset: where a tar's member begins in `location`, `bytes` long. With `bytes` None: from here on nothing could
            be read of the tar; reading this item fails and says so.
    """

    location: str
    root: str
    path: str
    bytes: int | None
    mtime: int | None
    offset: int | None = None


class NameFilter:
    """Decides on names below a root. The same answer while walking and when asked about a path later.

    Patterns and names are compared in one Unicode form: a Mac's disk writes `ö` as two characters.
    """

    def __init__(self, selection: Selection, pattern: Sequence[str] = (), top: str = "") -> None:
        """Take the options and, for a glob, its components below the root `top`; they then decide on the depth."""
        self._hidden = selection.hidden
        self._all_folders = selection.all_folders
        self._recursive = selection.recursive
        self._top = top
        pattern = [nfc(part) for part in pattern]
        self._pattern = (*pattern, "*") if pattern and pattern[-1] == "**" else tuple(pattern)
        # '*.dat' asks for such files whatever they are; '*' asks for the images
        self._any_suffix = bool(pattern) and bool(re.fullmatch(r".*\.\w+", pattern[-1], re.DOTALL))
        cleaned = [nfc(glob).removeprefix("./").rstrip("/") for glob in selection.exclude]
        cleaned += [glob.removeprefix("**/") for glob in cleaned if glob.startswith("**/")]
        self._excluded = re.compile("|".join(translate(glob) for glob in cleaned)).match if cleaned else None

    def refuses_folder(self, name: str, path: str) -> str:
        """Return why a folder is not entered, "" if it is."""
        if refused := self._refuses(name, path):
            return refused
        if self._pattern:
            if not _leads_to(nfc(path).split("/"), self._pattern):
                return "not matching"
        elif not self._recursive:
            return "folder"
        return "" if self._all_folders or not is_system_folder(name, f"{self._top}/{path}") else "system folder"

    def refuses_file(self, name: str, path: str) -> str:
        """Return why a file is not taken, "" if it is."""
        if refused := self._refuses(name, path):
            return refused
        if self._pattern and not _matches(nfc(path).split("/"), self._pattern):
            return "not matching"
        return "" if suffix(name) in SUFFIXES else self._refuses_suffix(name)

    def refuses(self, path: str) -> str:
        """Return why a file below the root is not found by walking, "" if it is."""
        names = path.split("/")
        for depth, name in enumerate(names[:-1], start=1):
            if refused := self.refuses_folder(name, "/".join(names[:depth])):
                return refused
        return self.refuses_file(names[-1], path)

    def _refuses(self, name: str, path: str) -> str:
        if name.startswith("."):
            if not self._hidden:
                return "hidden"
            if not self._all_folders and is_system_file(name):
                return "system file"
        if self._excluded is None:
            return ""
        return "excluded" if self._excluded(nfc(name)) or self._excluded(nfc(path)) else ""

    def _refuses_suffix(self, name: str) -> str:
        if not self._all_folders and is_system_file(name):
            return "system file"
        if self._any_suffix:
            return ""
        kind = suffix(name)
        if kind in RAW_SUFFIXES:
            return "raw file"
        if kind == ".xmp":
            return SIDECAR
        return "tar (name it itself)" if kind == SHARD_SUFFIX else "not an image"


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the names of a path match the components of a glob; `**` stands for any number of folders."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_matches(names[skip:], pattern[1:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])


def _leads_to(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a folder may hold matches of a glob."""
    if not names or (pattern and pattern[0] == "**"):
        return True
    return len(pattern) > 1 and fnmatchcase(names[0], pattern[0]) and _leads_to(names[1:], pattern[1:])


def suffix(name: str) -> str:
    """Return the suffix in small letters, with its dot; something that is no suffix where there is none."""
    return name[name.rfind(".") :].lower()


def is_url(location: str) -> bool:
    """Return whether a location is a URL, not a local path."""
    return "://" in location and _URL.match(location) is not None


def has_wildcard(text: str) -> bool:
    """Return whether a text may be a glob."""
    return any(character in text for character in "*?[")


def file_facts(location: str) -> Facts:
    """Return size and modification time of a local file; None for both if it is not there or not a regular file."""
    try:
        status = os.stat(location)  # noqa: PTH116 a Path for each of a million names takes longer than the call
    except (OSError, ValueError):
        return None, None
    if not stat.S_ISREG(status.st_mode):
        return None, None
    return status.st_size, valid_mtime(status.st_mtime_ns // 1000)


def valid_mtime(microseconds: int) -> int | None:
    """Return a time since 1970; None where it is no date (a file system may hold the year 40000)."""
    return microseconds if _FIRST <= microseconds <= _LAST else None


def to_microseconds(date: datetime) -> int:
    """Return a date as microseconds since 1970; one without a zone is taken for UTC."""
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def reason(error: BaseException) -> str:
    """Return what an error says as one printable line."""
    said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return path_text(" ".join(said.split()))[:300]
