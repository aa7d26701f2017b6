"""Packets written into many files, in groups: journal, ledger, then the files; and the way back."""

import errno
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from aaam_pipeline.core.artifacts import PARTIAL, file_sha256, path_text, real_path
from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.exchange.embedding import journal, replacing
from aaam_pipeline.exchange.embedding.journal import Replacement
from aaam_pipeline.exchange.embedding.replacing import Force, NewFile
from aaam_pipeline.formats.decisions import Inheritance
from aaam_pipeline.formats.packets import PacketError

SOURCE = "keywords"
GROUP, GROUP_BYTES = 16, 256 << 20
# lines of a journal that are kept at once
WAITING = 256
JOURNAL, LEFT, PENDING = "embedded.jsonl", "embedded.left.jsonl", "embedded.pending"
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
# adds lines to the ledger, and waits until they are on disk
Append = Callable[[Sequence[Inheritance]], object]
Told = Callable[[Path, str], None]


def _ignore(path: Path, why: str) -> None:
    """Tell nobody."""


class PacketWriter:
    """Writes packets into files; a context manager that holds the lock of its folder.

    A file is replaced in one step, after its earlier bytes are in the journal and the ledger says that both contents
    are one photograph. What is stopped at any moment leaves every file as it was or as it should be.
    """

    def __init__(
        self, folder: Path, ledger: Append, *, force: Collection[Force] = (), keep_times: bool = False,
        refused: Told = _ignore,
    ) -> None:  # fmt: skip
        """Keep the journal in `folder`. `keep_times`: files keep the time of their last change.

        `force`: kinds of files that are changed nevertheless. `refused` is told of each file that another program
        changed before a new one could take its place, or that cannot be replaced.
        """
        self.folder, self.force, self.written = folder, frozenset(force), 0
        self._ledger, self._keep_times, self._refused = ledger, keep_times, refused
        self._group: list[NewFile] = []
        self._links: dict[Path, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stack.enter_context(exclusive(self.folder / "embedding", option="--decisions"))
        clean(self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            for new in self._group:
                new.made.unlink(missing_ok=True)
            clean(self.folder)
            self._stack.close()

    def embed(self, path: Path, xmp: bytes) -> None:
        """Put a packet into a file, at the latest with `flush`.

        Raises:
            PacketError, OSError: it cannot be, and stays as it was; or there is no room on the disk.
        """
        target = replacing.check(path, self.force)
        # one that waits has the name that the next one would be made under
        if any(new.target == target for new in self._group):
            self.flush()
        with (self.folder / PENDING).open("a") as stream:
            stream.write(path_text(replacing.partial_of(target)) + "\n")
        if new := replacing.with_packet(target, xmp, self.force):
            self._group.append(new)
            self._links[target] = path_text(path.absolute()) if path.absolute() != target else ""
        if len(self._group) >= GROUP or sum(new.status.st_size for new in self._group) >= GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Put the files that are ready in their places.

        Raises:
            OSError: the journal or the ledger cannot be written to; no file is changed then.
        """
        if not self._group:
            return
        journal.append(self.folder / JOURNAL, [Replacement.of(each, self._links[each.target]) for each in self._group])
        self._links.clear()
        self._ledger([inheritance(new) for new in self._group if new.after != new.before])
        while self._group:
            new = self._group.pop()
            try:
                replacing.put_in_place(new, new.status.st_mtime_ns if self._keep_times else None)
                self.written += 1
            except (PacketError, OSError) as error:
                if is_full(error):
                    raise
                self._refused(new.target, said(error))
            replacing.sync_folder(new.target.parent)
        with suppress(OSError):
            (self.folder / PENDING).unlink()


def inheritance(new: NewFile) -> Inheritance:
    """Return the line of the ledger that keeps row and decisions of a file that is replaced."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Inheritance(sha256=new.after, same_as=new.before, by="file", source=SOURCE, at=at)


def is_full(error: AaamError | OSError) -> bool:
    """Return whether there is no room on the disk: what follows would fail, too."""
    return isinstance(error, OSError) and error.errno in FULL


def said(error: AaamError | OSError) -> str:
    """Return why a file could not be changed."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def clean(folder: Path) -> None:
    """Remove what a run that was killed has left beside photographs."""
    with suppress(OSError):
        for line in (folder / PENDING).read_text(encoding="utf8").splitlines():
            real_path(Path(line)).unlink(missing_ok=True)
        (folder / PENDING).unlink()


def count(folder: Path, only: Callable[[Path], bool] = lambda path: True) -> int:
    """Return how many changes `undo` would take back."""
    every = (entry for name in (JOURNAL, LEFT, PENDING) for _, entry in journal.latest_first(folder / name))
    return sum(any(map(only, entry.names)) for entry in every)


def undo(
    folder: Path,
    otherwise: Callable[[Path], bool] = lambda path: False,
    told: Told = _ignore,
    only: Callable[[Path], bool] = lambda path: True,
) -> tuple[int, int]:
    """Put back the bytes, and the times, of all files of the journal in `folder` for which `only` holds.

    `otherwise` is given a file that was changed since, and returns whether it could take out what was written.
    `told` is told of each file that stays as it is, and why. Returns how many files have their bytes again, and how
    many stay. What is done is taken from the journal: stopped, it goes on where it was.
    """
    back = stay = 0
    path, left = folder / JOURNAL, folder / LEFT
    # what a run that was killed left is removed, also where it had changed no file
    if not any((folder / name).exists() for name in (JOURNAL, LEFT, PENDING)):
        return 0, 0
    with exclusive(folder / "embedding", option="--decisions"):
        clean(folder)
        waiting: list[Replacement] = []
        for start, entry in journal.latest_first(path):
            is_meant = any(map(only, entry.names))
            why = _restored(entry, otherwise) if is_meant else "not asked for"
            if why:
                waiting.append(entry)
                if is_meant:
                    stay += 1
                    told(entry.file, why)
            else:
                back += 1
            # of a large library few may be asked for: not a wait for the disk for each of the others
            if not why or len(waiting) >= WAITING:
                _keep(waiting, path, left, start)
        if waiting:
            _keep(waiting, path, left, 0)
        _renew(path, left)
    return back, stay


def _restored(entry: Replacement, otherwise: Callable[[Path], bool]) -> str:
    """Put back what a file held, and return ""; or why that cannot be."""
    file = entry.file
    try:
        found = file_sha256(file)
        if found == entry.before:
            return ""
        if found != entry.after:
            return "" if otherwise(file) else "it was changed since"
        new = replacing.spliced(file, entry.splices())
        if new.after != entry.before:
            new.made.unlink(missing_ok=True)
            return "the journal does not fit to it"
        replacing.put_in_place(new, entry.mtime_ns)
        replacing.sync_folder(file.parent)
    except (PacketError, OSError) as error:
        return said(error)
    return ""


def _keep(waiting: list[Replacement], path: Path, left: Path, start: int) -> None:
    """Take from a journal what begins at `start`, once what of it stays is on disk elsewhere."""
    if waiting:
        journal.append(left, waiting)
        waiting.clear()
    os.truncate(path, start)


def _renew(path: Path, left: Path) -> None:
    """Make a journal, in their order, of what is left."""
    if not left.exists():
        path.unlink(missing_ok=True)
        return
    new = path.with_name(f".{path.name}{PARTIAL}")
    new.unlink(missing_ok=True)
    journal.append(new, (entry for _, entry in journal.latest_first(left)))
    new.replace(path)
    left.unlink()
