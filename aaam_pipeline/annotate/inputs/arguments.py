"""What an argument of the command line means: a folder, a file, a glob, a list, a tar, or a URL of any of these."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from aaam_pipeline.annotate.inputs import lists, remote, web
from aaam_pipeline.annotate.inputs.base import (
    LIST_SUFFIXES,
    SHARD_SUFFIX,
    SUFFIXES,
    InputItem,
    NameFilter,
    file_facts,
    has_wildcard,
    is_url,
    suffix,
)
from aaam_pipeline.annotate.inputs.shards import refuse_compressed
from aaam_pipeline.annotate.inputs.tree import LocalLister, Tree
from aaam_pipeline.annotate.options import Selection
from aaam_pipeline.core.artifacts import absolute, path_text
from aaam_pipeline.core.errors import UsageError

_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")
_WORDS = re.compile(r"\{([^{}]*,[^{}]*)\}")


def parse(given: str, selection: Selection) -> Iterator[Tree | InputItem]:
    """Yield the folders and files that an argument names; braces name several (`{000..009}.tar`).

    Raises:
        UsageError: there is no such file or folder, or it is of a kind that cannot be read.
    """
    if given == lists.STDIN:
        yield InputItem(lists.STDIN, "", lists.STDIN, None, None)
    elif is_url(given) and given[:7].lower() != "file://":
        remote.require(given)
        for url in _braces(given):
            yield _url(url, selection)
    else:
        given = remote.local_path(given) if is_url(given) else given
        for path in [given] if os.path.lexists(given) else _braces(given):
            yield _local(path, selection)


def look_at(argument: InputItem) -> InputItem:
    """Return a file named by its URL with its facts, where the service gives them without reading it.

    Raises:
        UsageError: it is not there.
    """
    if not is_url(argument.location) or urlsplit(argument.location).scheme.lower() in web.SCHEMES:
        return argument
    size, mtime = remote.facts(argument.location)
    return argument._replace(bytes=size, mtime=mtime)


def _local(given: str, selection: Selection) -> Tree | InputItem:
    path = Path(given)
    if path.is_dir():
        return Tree(str(absolute(path)), NameFilter(selection), LocalLister())
    if os.path.lexists(given):
        refuse_compressed(given)
        file = absolute(path)
        return InputItem(str(file), path_text(file.parent), path_text(file.name), *file_facts(str(file)))
    if not has_wildcard(given):
        raise UsageError(f"no file or folder {path_text(given)}")
    first = next(index for index, part in enumerate(path.parts) if has_wildcard(part))
    top = Path(*path.parts[:first])
    if not top.is_dir():
        raise UsageError(f"no folder {path_text(top)}, named in {path_text(given)}")
    return Tree(str(absolute(top)), NameFilter(selection, path.parts[first:]), LocalLister())


def _url(given: str, selection: Selection) -> Tree | InputItem:
    parts = urlsplit(given)
    refuse_compressed(parts.path)
    if parts.scheme.lower() in web.SCHEMES:
        if parts.path.endswith("/") or not parts.path:
            raise UsageError(f"{path_text(given)} is a folder of the web, which nobody lists; give a list of its URLs")
        return remote.named(given)
    # not of urlsplit: in a bucket ? and # are characters of a name
    scheme, _, rest = given.partition("://")
    url = f"{scheme}://{rest.rstrip('/')}"
    known = suffix(rest) in SUFFIXES | LIST_SUFFIXES | {SHARD_SUFFIX}
    if known and not has_wildcard(rest):
        return _remote_file(url)
    info = remote.look_up(url)
    if info is not None:
        is_folder = info["type"] == "directory"
        return Tree(url, NameFilter(selection), remote.RemoteLister()) if is_folder else _remote_file(url)
    components = rest.split("/")
    first = next((index for index, part in enumerate(components) if has_wildcard(part)), 0)
    if not first:
        raise UsageError(f"no file or folder {path_text(given)}")
    top = f"{scheme}://{'/'.join(components[:first])}"
    return Tree(top, NameFilter(selection, components[first:]), remote.RemoteLister())


def _remote_file(url: str) -> InputItem:
    folder, _, name = url.rpartition("/")
    return InputItem(url, path_text(folder), path_text(name), None, None)


def _braces(given: str) -> Iterator[str]:
    """Expand the braces of a shell that WebDataset's users type in quotes: {000..009} and {a,b}."""
    found = _NUMBERS.search(given) or _WORDS.search(given)
    if found is None:
        yield given
        return
    if found.re is _NUMBERS:
        first, last = found[1], found[2]
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        words = [f"{number:0{width}d}" for number in range(int(first), int(last) + 1)]
    else:
        words = found[1].split(",")
    for word in words:
        yield from _braces(given[: found.start()] + word + given[found.end() :])
