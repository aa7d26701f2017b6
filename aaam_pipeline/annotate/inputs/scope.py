"""What a search of inputs looked at: of the files of all other rows it says nothing."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from aaam_pipeline.annotate.inputs.base import SHARD_SUFFIX, NameFilter, is_url
from aaam_pipeline.annotate.inputs.tree import Tree
from aaam_pipeline.annotate.options import Selection
from aaam_pipeline.core.artifacts import real_path

EVERYTHING = Selection()


class Scope:
    """Collects what `inputs.find` looked at to its end. A folder, glob or list that a limit cut short is not there.

    `shards`: tars of which every member was listed, as `location` writes them.
    """

    def __init__(self, roots: Iterable[str] = (), selection: Selection = EVERYTHING) -> None:
        """Begin with roots that were looked at as a whole; `selection` chooses among the members of tars."""
        self._roots = set(roots)
        self._trees: list[Tree] = []
        self._members = NameFilter(selection._replace(recursive=True))
        self.shards: set[str] = set()

    def add_tree(self, tree: Tree) -> None:
        """Note that a folder or a glob was walked to its end."""
        self._trees.append(tree)

    def add_list(self, roots: Iterable[str]) -> None:
        """Note the roots of the lines of a list that was read to its end: any file below them could be in it."""
        self._roots.update(roots)

    def add_shard(self, root: str, path: str) -> None:
        """Note that all members of a tar were listed."""
        self.shards.add(location(root, path))

    def covers(self, root: str, path: str) -> bool:
        """Return whether the file of a row would be an input, if it were there."""
        if root in self._roots:
            return True
        place = location(root, path)
        if place.endswith("/"):
            # the row of a folder that could not be listed stands for pictures in it
            place += "0.jpg"
        if place in self.shards or any(tree.holds(place) for tree in self._trees):
            return True
        for shard in shards_above(place):
            if shard in self.shards or any(tree.holds(shard) for tree in self._trees):
                return not self._members.refuses(place[len(shard) + 1 :])
        return False


def location(root: str, path: str) -> str:
    """Return where the file of a row lies: a URL, or a path as the system writes it."""
    place = f"{root}{path}" if root.endswith("/") else f"{root}/{path}"
    return place if is_url(root) or "\\x" not in place else str(real_path(Path(place)))


def shards_above(place: str) -> Iterator[str]:
    """Yield the tars that a location may be a member of, the outermost first."""
    end = place.lower().find(f"{SHARD_SUFFIX}/")
    while end >= 0:
        yield place[: end + len(SHARD_SUFFIX)]
        end = place.lower().find(f"{SHARD_SUFFIX}/", end + 1)
