"""Which images are annotated: folders, files, globs, lists and tars, local or by URL -> a stream of `InputItem`s.

Only what an input needs is imported: a local folder needs neither fsspec nor pyarrow.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from aaam_pipeline.annotate.inputs import lists, remote, shards, web
from aaam_pipeline.annotate.inputs.base import (
    LIST_SUFFIXES,
    SHARD_SUFFIX,
    SIDECAR,
    InputItem,
    NameFilter,
    file_facts,
    has_wildcard,
    is_url,
    suffix,
)
from aaam_pipeline.annotate.inputs.scope import Scope
from aaam_pipeline.annotate.inputs.tree import EmptyLister, FileLister, Tree
from aaam_pipeline.annotate.options import Selection
from aaam_pipeline.core.artifacts import absolute, path_text
from aaam_pipeline.core.disk_names import DiskNames
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.imaging.formats import SUFFIXES

__all__ = ["SIDECAR", "SUFFIXES", "InputItem", "NoImagesError", "Scope", "Selection", "find", "is_url", "local_item"]

BEYOND_LIMIT = "beyond the limit"
_EVERYTHING = Selection()
_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")
_WORDS = re.compile(r"\{([^{}]*,[^{}]*)\}")


class NoImagesError(UsageError):
    """There is no image in any of the inputs."""


def find(
    inputs: Sequence[str | Path],
    selection: Selection = _EVERYTHING,
    skipped: Counter[str] | None = None,
    scope: Scope | None = None,
    known_as: Callable[[str], str] = lambda name: "unknown",
) -> Iterator[InputItem]:
    """Return the images of all inputs, one after the other, always in the same order; nothing is kept of them.

    An image found again under the same name by a later folder, glob or file is left out. Lists and tars are taken as
    they are: every line, every member. What is left out is counted in `skipped` by kind while iterating, and
    `scope` knows afterwards what was looked at. `known_as` says of a name that is not there whether it was a "file" or
    a "folder" before: it is looked at as one that cannot be read, or is empty.

    Raises:
        UsageError: at once, an input is not there or of no known kind; while iterating, an input cannot be read, or
            there was no image in any of them.
    """
    left_out = Counter() if skipped is None else skipped
    given = list(dict.fromkeys(str(each) for each in inputs))
    chosen = [argument for each in given for argument in _parse(each, selection, known_as)]
    return _images(chosen, given, selection, left_out, Scope() if scope is None else scope)


def local_item(file: Path, root: Path) -> InputItem:
    """Return the input for a local file below a root."""
    return InputItem(str(file), path_text(root), path_text(file.relative_to(root).as_posix()), *file_facts(str(file)))


def _images(
    chosen: Sequence[Tree | InputItem],
    given: Sequence[str],
    selection: Selection,
    skipped: Counter[str],
    scope: Scope,
) -> Iterator[InputItem]:
    """Yield the images up to the limit, and count one as skipped if there are more; raise if there is none."""
    count = 0
    for found in _once(chosen, skipped, scope):
        for image in _expand(found, selection, skipped, scope):
            if count == selection.limit:
                skipped[BEYOND_LIMIT] += 1
                return
            count += 1
            yield image
    if not count:
        names = ", ".join(path_text(name) for name in given[:5]) + (", ..." if len(given) > 5 else "")
        left_out = ", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items()))
        raise NoImagesError(f"no images in {names}{_looked(chosen)}" + (f"; left out: {left_out}" if left_out else ""))


def _looked(chosen: Sequence[Tree | InputItem]) -> str:
    """Say what was looked for; of lists alone nothing, since they name files of any suffix."""
    folders = [each for each in chosen if isinstance(each, Tree)]
    if len(folders) == len(chosen) and all(isinstance(each.lister, EmptyLister) for each in folders):
        return ", which is not there" if len(folders) == 1 else ", which are not there"
    searched = folders or any(suffix(each.location) == SHARD_SUFFIX for each in chosen if isinstance(each, InputItem))
    return f": looked for {' '.join(sorted(SUFFIXES))}" if searched else ": it is an empty list"


def _once(chosen: Sequence[Tree | InputItem], skipped: Counter[str], scope: Scope) -> Iterator[InputItem]:
    """Yield files, lists and tars, each once. Only the inputs are kept, never what is found in them."""
    trees: list[Tree] = []
    named: set[str] = set()
    for argument in chosen:
        if isinstance(argument, InputItem):
            if argument.location not in named and not any(tree.holds(argument.location) for tree in trees):
                named.add(argument.location)
                yield _look_at(argument)
        else:
            for found in argument.walk(skipped):
                if found.location not in named and not any(tree.holds(found.location) for tree in trees):
                    yield found
            trees.append(argument)
            scope.add_tree(argument)


def _expand(found: InputItem, selection: Selection, skipped: Counter[str], scope: Scope) -> Iterator[InputItem]:
    """Yield the images that a list or a tar holds; an image is itself."""
    kind = suffix(urlsplit(found.location).path if is_url(found.location) else found.location)
    if kind == SHARD_SUFFIX:
        whole = True
        for member in shards.members(found, selection, skipped):
            whole = member.bytes is not None
            yield member
        if whole:
            scope.add_shard(found.root, found.path)
    elif kind in LIST_SUFFIXES or found.location == lists.STDIN:
        roots: set[str] = set()
        for line in lists.lines(found, selection.column, skipped):
            roots.add(line.root)
            yield line
        scope.add_list(roots)
    else:
        shards.refuse_compressed(found.location)
        yield found


def _parse(given: str, selection: Selection, known_as: Callable[[str], str]) -> Iterator[Tree | InputItem]:
    """Yield the folders and files that an argument names; braces name several (`{000..009}.tar`).

    Raises:
        UsageError: there is no such file or folder, or it is of a kind that cannot be read.
    """
    if not given:
        raise UsageError("an empty name is no file or folder (the current one is .)")
    if given == lists.STDIN:
        yield InputItem(lists.STDIN, "", lists.STDIN, None, None)
    elif is_url(given) and given[:7].lower() != "file://":
        remote.require(given)
        for url in _braces(given):
            yield _url(url, selection)
    else:
        given = remote.local_path(given) if is_url(given) else given
        for path in [given] if os.path.lexists(given) else _braces(given):
            yield _local(path, selection, known_as)


def _look_at(argument: InputItem) -> InputItem:
    """Return a file named by its URL with its facts, where the service gives them without reading it.

    Raises:
        UsageError: it is not there.
    """
    if not is_url(argument.location) or urlsplit(argument.location).scheme.lower() in web.SCHEMES:
        return argument
    size, mtime = remote.facts(argument.location)
    return argument._replace(bytes=size, mtime=mtime)


def _local(given: str, selection: Selection, known_as: Callable[[str], str]) -> Tree | InputItem:
    given = DiskNames().find(given)
    path = Path(given)
    if path.is_dir():
        return _tree(path, selection)
    was = "unknown" if os.path.lexists(given) else known_as(given)
    if was == "folder":
        return Tree(str(absolute(path)), NameFilter(selection), EmptyLister())
    if was == "file" or os.path.lexists(given):
        shards.refuse_compressed(given)
        file = absolute(path)
        return InputItem(str(file), path_text(file.parent), path_text(file.name), *file_facts(str(file)))
    if not has_wildcard(given):
        raise UsageError(f"no file or folder {path_text(given)}")
    first = next(index for index, part in enumerate(path.parts) if has_wildcard(part))
    top = Path(DiskNames().find(str(Path(*path.parts[:first]))))
    if not top.is_dir():
        raise UsageError(f"no folder {path_text(top)}, named in {path_text(given)}")
    return _tree(top, selection, path.parts[first:])


def _tree(folder: Path, selection: Selection, pattern: Sequence[str] = ()) -> Tree:
    top = str(absolute(folder))
    return Tree(top, NameFilter(selection, pattern, top), FileLister())


def _url(given: str, selection: Selection) -> Tree | InputItem:
    parts = urlsplit(given)
    shards.refuse_compressed(parts.path)
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
