"""A library that lies in another place than it did: rows get the new names of the same files; no file is opened."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from aaam_pipeline.core.artifacts import absolute, path_text
from aaam_pipeline.core.errors import UsageError


class MovedRoot(NamedTuple):
    """A folder (or a URL) that was moved with all that is below it."""

    old: str
    new: str

    @classmethod
    def parse(cls, text: str) -> "MovedRoot":
        """Read OLD=NEW; where names hold `=`, the one is meant after which a folder is there.

        Raises:
            UsageError: it is not of that form.
        """
        places = [index for index, character in enumerate(text) if character == "="]
        pairs = [(text[:place], text[place + 1 :]) for place in places if text[:place] and text[place + 1 :]]
        there = [pair for pair in pairs if Path(pair[1]).expanduser().is_dir()]
        if not pairs or (len(pairs) > 1 and len(there) != 1):
            raise UsageError(f"--root {text}: write OLD=NEW, the folder as it was called and as it is called now")
        old, new = (_printable(name) for name in (there or pairs)[0])
        if old == new:
            raise UsageError(f"--root {text}: both are the same folder")
        return cls(old, new)

    def concerns(self, roots: Iterable[str]) -> bool:
        """Return whether rows of one of the roots can lie below the old place, or below the new one already."""
        places = (self.old, self.new)
        return any(_is_below(root, place) or _is_below(place, root) for root in roots for place in places)

    def applied(self, rows: pa.Table) -> pa.Table | None:
        """Return rows with the new names; None if none lies below the old place.

        Rows that lie below the new place already stay, so that nothing changes when it is applied again. The column
        `link_target` follows, where rows have it.
        """
        if not len(rows):
            return None
        root, path = rows["root"], rows["path"]
        changed = False
        for name in pc.unique(root).to_pylist():
            here = pc.equal(root, name)
            if _is_below(name, self.old) and not self._is_done(name):
                root = pc.if_else(here, self.new + name[len(self.old) :], root)
                changed = True
            elif _is_below(self.old, name):
                # of a list: the root is above the folder that moved
                start = len(_prefix(name))
                rest, first = f"{self.old[start:]}/", f"{self.new}/"
                moving = pc.and_(here, pc.starts_with(path, rest))
                if _is_below(self.new, name):
                    first = first[start:]
                    if _is_below(self.new, self.old):
                        moving = pc.and_(moving, pc.invert(pc.starts_with(path, first)))
                else:
                    root = pc.if_else(moving, self.new, root)
                    first = ""
                if pc.any(moving).as_py():
                    below = pc.utf8_slice_codeunits(path, len(rest))
                    path = pc.if_else(moving, pc.binary_join_element_wise(first, below, ""), path)
                    changed = True
        targets = self._targets(rows)
        if not changed and targets is None:
            return None
        columns = {"root": root, "path": path} | ({} if targets is None else {"link_target": targets})
        for name, column in columns.items():
            rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
        return rows

    def _targets(self, rows: pa.Table) -> pa.ChunkedArray | None:
        if "link_target" not in rows.column_names:
            return None
        target = rows["link_target"]
        moving = pc.starts_with(target, f"{self.old}/")
        if _is_below(self.new, self.old):
            moving = pc.and_(moving, pc.invert(pc.starts_with(target, f"{self.new}/")))
        if not pc.any(moving).as_py():
            return None
        below = pc.utf8_slice_codeunits(target, len(self.old))
        return pc.if_else(moving, pc.binary_join_element_wise(self.new, below, ""), target)

    def _is_done(self, name: str) -> bool:
        return _is_below(self.new, self.old) and _is_below(name, self.new)


def apply_all(moved: Sequence[MovedRoot], rows: pa.Table) -> pa.Table | None:
    """Return rows with all new names; None if none of them changes."""
    now = None
    for each in moved:
        applied = each.applied(rows if now is None else now)
        now = now if applied is None else applied
    return now


def _printable(name: str) -> str:
    if "://" in name:
        return path_text(name.rstrip("/"))
    return path_text(absolute(Path(name).expanduser()))


def _prefix(folder: str) -> str:
    return folder if folder.endswith("/") else f"{folder}/"


def _is_below(name: str, folder: str) -> bool:
    return name == folder or name.startswith(_prefix(folder))
