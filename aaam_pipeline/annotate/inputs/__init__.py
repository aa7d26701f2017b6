"""Which images are annotated: folders, files, globs, lists and tars, local or by URL -> a stream of `InputItem`s.

Only what an input needs is imported: a local folder needs neither fsspec nor pyarrow.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from aaam_pipeline.annotate.inputs import arguments, lists, shards
from aaam_pipeline.annotate.inputs.base import (
    LIST_SUFFIXES,
    SHARD_SUFFIX,
    SUFFIXES,
    Facts,
    InputItem,
    file_facts,
    is_url,
    suffix,
)
from aaam_pipeline.annotate.inputs.tree import Tree
from aaam_pipeline.annotate.options import Selection
from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import UsageError

BEYOND_LIMIT = "beyond the limit"
# what makes a listing less than all there is: rows that are missing from it are not those of deleted images
INCOMPLETE = (BEYOND_LIMIT, "unreadable folder")

__all__ = ["INCOMPLETE", "SUFFIXES", "Facts", "InputItem", "Selection", "find", "is_url", "local_item"]

_EVERYTHING = Selection()


def find(
    inputs: Sequence[str | Path], selection: Selection = _EVERYTHING, skipped: Counter[str] | None = None
) -> Iterator[InputItem]:
    """Return the images of all inputs, one after the other, always in the same order; nothing is kept of them.

    An image found again under the same name by a later folder, glob or file is left out. Lists and tars are taken as
    they are: every line, every member. What is left out is counted in `skipped` by kind while iterating.

    Raises:
        UsageError: at once, an input is not there or of no known kind; while iterating, an input cannot be read, or
            there was no image in any of them.
    """
    left_out = Counter() if skipped is None else skipped
    given = list(dict.fromkeys(str(each) for each in inputs))
    chosen = [argument for each in given for argument in arguments.parse(each, selection)]
    return _limited(_some(chosen, given, selection, left_out), selection.limit, left_out)


def local_item(file: Path, root: Path) -> InputItem:
    """Return the input for a local file below a root."""
    return InputItem(str(file), path_text(root), path_text(file.relative_to(root).as_posix()), *file_facts(str(file)))


def _limited(images: Iterator[InputItem], limit: int | None, skipped: Counter[str]) -> Iterator[InputItem]:
    """Yield the first `limit` images, and count one as skipped if there are more."""
    yield from islice(images, limit)
    if limit is not None and any(True for _ in images):
        skipped[BEYOND_LIMIT] += 1


def _some(
    chosen: Sequence[Tree | InputItem], given: Sequence[str], selection: Selection, skipped: Counter[str]
) -> Iterator[InputItem]:
    """Yield the images; raise if there is none."""
    any_found = False
    for found in _once(chosen, skipped):
        for image in _expand(found, selection, skipped):
            any_found = True
            yield image
    if not any_found:
        names = ", ".join(path_text(name) for name in given[:5]) + (", ..." if len(given) > 5 else "")
        left_out = ", ".join(f"{count} {kind}" for kind, count in sorted(skipped.items()))
        looked = f"looked for {' '.join(sorted(SUFFIXES))}"
        raise UsageError(f"no images in {names}: {looked}" + (f"; left out: {left_out}" if left_out else ""))


def _once(chosen: Sequence[Tree | InputItem], skipped: Counter[str]) -> Iterator[InputItem]:
    """Yield files, lists and tars, each once. Only the inputs are kept, never what is found in them."""
    trees: list[Tree] = []
    named: set[str] = set()
    for argument in chosen:
        if isinstance(argument, InputItem):
            if argument.location not in named and not any(tree.holds(argument.location) for tree in trees):
                named.add(argument.location)
                yield arguments.look_at(argument)
        else:
            for found in argument.walk(skipped):
                if found.location not in named and not any(tree.holds(found.location) for tree in trees):
                    yield found
            trees.append(argument)


def _expand(found: InputItem, selection: Selection, skipped: Counter[str]) -> Iterator[InputItem]:
    """Yield the images that a list or a tar holds; an image is itself."""
    kind = suffix(urlsplit(found.location).path if is_url(found.location) else found.location)
    if kind == SHARD_SUFFIX:
        yield from shards.members(found, selection, skipped)
    elif kind in LIST_SUFFIXES or found.location == lists.STDIN:
        yield from lists.lines(found, selection.column, skipped)
    else:
        shards.refuse_compressed(found.location)
        yield found
