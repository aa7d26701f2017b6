"""Lists of paths and URLs: every line is an input, in order, also a repeated one.

Relative paths are relative to the folder of the list (of standard input: to the current folder), or to its URL. A name
that is not there is looked for as a disk of another kind writes it: in another Unicode form, with `/` for Windows'
backslashes. A list that comes from elsewhere names files of elsewhere: its lines never lead to those of this machine.
"""

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from aaam_pipeline.annotate.inputs import list_files, remote, web
from aaam_pipeline.annotate.inputs.base import InputItem, file_facts, is_url
from aaam_pipeline.core.artifacts import absolute, path_text
from aaam_pipeline.core.disk_names import DiskNames
from aaam_pipeline.core.errors import UsageError

STDIN = list_files.STDIN
QUOTED = re.compile(r"""(["'])(.+)\1""")
# what a list from elsewhere may name beside its own service: other kinds of URL can lead to this machine
ELSEWHERE = frozenset({*web.SCHEMES, "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "ftp", "hf", "memory"})


def lines(given: InputItem, column: str | None, skipped: Counter[str]) -> Iterator[InputItem]:
    """Yield an item for every line of a list; count blank lines.

    Raises:
        UsageError: the list cannot be read, has no such column, or what its URLs need is not installed.
    """
    resolver = _Resolver(given.location)
    for name in list_files.names(given.location, column):
        # a name may consist of line breaks only in theory, a blank line is common
        if not name or name.isspace():
            skipped["blank line"] += 1
        else:
            yield resolver.item(name)


class _Resolver:
    """Makes items of the lines of one list."""

    def __init__(self, location: str) -> None:
        self._disk, self._list = DiskNames(), location
        self._url = location if is_url(location) else ""
        if self._url:
            self._folder = self._url.rpartition("/")[0]
        else:
            self._folder = str(Path.cwd()) if location == STDIN else os.path.dirname(location)  # noqa: PTH120
        self._root = path_text(self._folder)
        self._prefix = self._folder if self._folder.endswith("/") else f"{self._folder}/"

    def item(self, name: str) -> InputItem:
        """Return the item for a line."""
        if self._url:
            return self._from_elsewhere(name)
        if ":" in name:
            if name[:6].lower() == "file:/":
                return self._local(remote.local_path(name))
            if is_url(name):
                return self._remote(name)
        return self._local(name)

    def _from_elsewhere(self, name: str) -> InputItem:
        """Return the item for a line of a list that was fetched; one that fails where it leads to this machine."""
        scheme = urlsplit(self._url).scheme.lower()
        of_web = scheme in web.SCHEMES
        if of_web and not name.startswith("/"):
            name = urljoin(self._url, name)
        if is_url(name) and name.partition("://")[0].lower() in ELSEWHERE | {scheme}:
            return self._remote(name)
        if of_web or is_url(name) or name.startswith("/") or name[:5].lower() == "file:":
            # of the list's URL without its password
            root = remote.named(self._url).root
            return InputItem(f"{remote.REFUSED}://{name}", root, path_text(name), None, None)
        below = posixpath.normpath(name)
        return InputItem(f"{self._folder}/{below}", self._root, path_text(below), None, None)

    def _remote(self, url: str) -> InputItem:
        # an unknown scheme is a row that fails; what only has to be installed stops at the first line
        if "pip install" in remote.missing(url.partition("://")[0].lower()):
            remote.require(url)
        return remote.named(url)

    def _local(self, name: str) -> InputItem:
        location = self._absolute(name)
        size, mtime = file_facts(location)
        if size is None:
            found = self._disk.find(location)
            if "\\" in name and not os.path.lexists(found):
                found = self._disk.find(self._absolute(name.replace("\\", "/")))
            if found != location and os.path.lexists(found):
                location, (size, mtime) = found, file_facts(found)
            elif (bare := QUOTED.fullmatch(name)) and os.path.lexists(self._absolute(bare[2])):
                shown = f"{path_text(self._list)}: {path_text(name)}"
                advice = "and there is a file of that name without them: take them away, a list of text has none"
                raise UsageError(f"{shown} stands in quotation marks, {advice}")
        if location.startswith(self._prefix):
            return InputItem(location, self._root, path_text(location[len(self._prefix) :]), size, mtime)
        anchor = Path(location).anchor
        return InputItem(location, anchor, path_text(location[len(anchor) :]), size, mtime)

    def _absolute(self, name: str) -> str:
        location = os.path.join(self._prefix, name)  # noqa: PTH118 a Path a line would be slow
        return str(absolute(Path(location))) if "/." in location or "//" in location else location
