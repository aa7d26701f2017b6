"""The photographs in an exported folder: links to them, or copies, under the paths that they have below their roots."""

import os
import re
import shutil
from pathlib import Path, PurePosixPath

from aaam_pipeline.core.artifacts import absolute, path_text, real_path
from aaam_pipeline.core.errors import ImageError, UsageError
from aaam_pipeline.core.text import folded
from aaam_pipeline.exchange.exporters.rows import ExportRow

# characters that some file system refuses in a name, and what breaks a list of names
REFUSED = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
# bytes of a name that leave room for a number and a suffix
LONGEST = 200
NAMED = 5
BLOCK = 1 << 20


class Pictures:
    """Puts photographs below `folder`. `missing`: how many could not be, by reason; `named`: the first of them.

    `folder` None: nothing is written, but what is missing is found.
    """

    def __init__(self, folder: Path | None, *, link: bool, flat: bool = False) -> None:
        """Link or copy; `flat`: all in one folder, the names of their folders before their own."""
        self.folder = folder
        self._link, self._flat = link, flat
        self.missing: dict[str, int] = {}
        self.named: list[str] = []
        self._taken: set[int] = set()

    def place(self, row: ExportRow, within: str) -> str | None:
        """Put a photograph below the folder `within`; return its path there with `/`, None where it cannot be had.

        No two are equal but for their suffix, since labels are kept in files of their names.

        Raises:
            UsageError: the file system has no symbolic links.
            OSError: the disk is full, or cannot be written.
        """
        source = self.find(row)
        if source is None:
            return None
        name = self._free(row, within)
        if self.folder is None:
            return name
        target = self.folder / within / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._link:
            try:
                target.symlink_to(source)
            except (OSError, NotImplementedError) as error:
                if isinstance(error, OSError) and not isinstance(error, PermissionError):
                    raise
                raise UsageError(f"symbolic links cannot be made in {self.folder.parent}: use --copy") from None
            return name
        try:
            stream = source.open("rb")
        except OSError as error:
            self._miss(row, error.strerror or str(error))
            return None
        with stream, target.open("wb") as copy:
            shutil.copyfileobj(stream, copy, BLOCK)
        shutil.copystat(source, target)
        return name

    def content(self, row: ExportRow) -> bytes | None:
        """Return a photograph's bytes, None where it cannot be had."""
        if (source := self.find(row)) is None:
            return None
        try:
            return source.read_bytes()
        except OSError as error:
            self._miss(row, error.strerror or str(error))
            return None

    def find(self, row: ExportRow) -> Path | None:
        """Return where a photograph is, absolute, None where it cannot be had."""
        try:
            return original(row)
        except ImageError as error:
            self._miss(row, str(error))
            return None

    def _miss(self, row: ExportRow, why: str) -> None:
        self.missing[why] = self.missing.get(why, 0) + 1
        if len(self.named) < NAMED:
            self.named.append(row.location)

    def _free(self, row: ExportRow, within: str) -> str:
        """Return a name that no other photograph has, whatever its suffix and case."""
        parts = [_safe(part) for part in PurePosixPath(row.path).parts if part not in ("/", "..")]
        stem, suffix = os.path.splitext(parts[-1])  # noqa: PTH122 the suffix of `.jpg` is none
        # not half of a character
        stem = os.fsencode(stem)[:LONGEST].decode("utf8", "ignore")
        first = "__".join([*parts[:-1], stem]) if self._flat else "/".join([*parts[:-1], stem])
        first = os.fsencode(first)[-LONGEST:].decode("utf8", "ignore") if self._flat else first
        base, number = first, 1
        while (key := hash(folded(f"{within}/{base}"))) in self._taken:
            number += 1
            base = f"{first}-{number}"
        self._taken.add(key)
        return f"{base}{suffix}"


def original(row: ExportRow) -> Path:
    """Return the file of a photograph, absolute.

    Raises:
        ImageError: there is none; says why.
    """
    if "://" in row.root:
        raise ImageError("unreadable", "not on this machine")
    try:
        file = absolute(real_path(Path(row.root) / row.path))
        if file.is_file():
            return file
        inside = any(parent.is_file() for parent in file.parents)
    except (OSError, ValueError) as error:
        raise ImageError("unreadable", str(error)) from None
    raise ImageError("unreadable", "inside an archive" if inside else "not there")


def _safe(part: str) -> str:
    """Return the name of a folder or file as any file system takes it."""
    safe = REFUSED.sub("_", path_text(part)).rstrip(". ") or "_"
    return f"_{safe[1:]}" if safe.startswith(".") else safe
