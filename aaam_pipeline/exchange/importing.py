"""Keywords that people wrote into photographs and sidecars, counted, and made decisions of the ledger.

A keyword is a `yes` by a file. One that is missing says nothing. What the ledger has already is not added again, so
an import that was stopped is given again, and goes on.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.core.progress import Advance, ignore
from aaam_pipeline.core.text import folded
from aaam_pipeline.formats import file_keywords
from aaam_pipeline.formats.decisions import Decision, Decisions, label_key
from aaam_pipeline.formats.file_keywords import FileKeyword

THREADS, CHUNK = 8, 512
Parents = Literal["known", "all", "none"]
# the label that a word stands for, None: it stands for none
Match = Callable[[str], str | None]
Find = Callable[[Path], Sequence[Path]]
Append = Callable[[Sequence[Decision]], int]
Told = Callable[[Path, str], None]
GONE = file_keywords.FileKeywords([], [])


class ImportItem(NamedTuple):
    """A photograph: its file, and its SHA-256 when it had this size and time (microseconds since 1970), if known."""

    file: Path
    sha256: str | None = None
    bytes: int | None = None
    mtime: int | None = None


@dataclass
class KeywordTally:
    """How often a keyword was found: `path`: its levels; `label`: what it is called in the ledger; `known`: whether
    that is a word that a model knows; `decided`: photographs for which a line was added.
    """

    path: tuple[str, ...]
    label: str
    known: bool
    photographs: int = 0
    decided: int = 0
    origins: Counter[str] = field(default_factory=Counter)


@dataclass
class ImportSummary:
    """`photographs`: those that were looked at; `with_keywords`; `decisions`: lines added; `stale`: photographs that
    have changed since they were annotated; `gone`: files that are not there; `faults`: those of which something could
    not be read.
    """

    tallies: dict[tuple[str, ...], KeywordTally] = field(default_factory=dict)
    photographs: int = 0
    with_keywords: int = 0
    decisions: int = 0
    stale: int = 0
    gone: int = 0
    faults: int = 0

    def sorted(self) -> list[KeywordTally]:
        """Return the keywords, the most frequent first."""
        return sorted(self.tallies.values(), key=lambda each: (-each.photographs, folded("/".join(each.path))))


class Importer:
    """Reads keywords of photographs, and makes decisions of them."""

    def __init__(
        self, match: Match, sidecars: Find, *, parents: Parents = "known", only_known: bool = False,
        exclude: Sequence[str] = (), batch: str = "", told: Told = lambda path, why: None,
    ) -> None:  # fmt: skip
        """Choose what counts. `match`: words -> labels that a model knows; `sidecars`: those of a photograph.

        `parents`: which upper levels of a tree are keywords, too; `exclude`: patterns of keywords, whole or with their
        levels (`Places/*`), that are left out; `batch`: that of all lines. `told` is told what could not be read.
        """
        self.match, self.sidecars, self.parents, self.only_known = match, sidecars, parents, only_known
        self.exclude, self.batch, self.told = [folded(each) for each in exclude], batch, told
        self.summary = ImportSummary()
        self._labels: dict[tuple[str, ...], tuple[str, bool]] = {}

    def run(
        self,
        items: Iterable[ImportItem],
        decisions: Decisions | None = None,
        append: Append | None = None,
        advance: Advance = ignore,
    ) -> ImportSummary:
        """Read the keywords of all items; with `decisions`, the ledger as it is, count those that it lacks.

        With `append`, which adds lines to the ledger, these are added.

        Raises:
            OSError: the ledger cannot be written; what was added stays.
        """
        remaining = iter(items)
        with ThreadPoolExecutor(THREADS) as pool:
            while chunk := list(islice(remaining, CHUNK)):
                found = list(pool.map(self._read, chunk))
                for item, read in zip(chunk, found, strict=True):
                    self._count(item, read)
                if decisions is not None:
                    wanted = [(item, read.keywords) for item, read in zip(chunk, found, strict=True) if read.keywords]
                    hashes = list(pool.map(_content, [item for item, _ in wanted]))
                    lines = list(self._lines(wanted, hashes, decisions))
                    self.summary.decisions += len(lines)
                    if append and lines:
                        append(lines)
                advance(len(chunk), sum(bool(read.faults) for read in found))
        return self.summary

    def _read(self, item: ImportItem) -> file_keywords.FileKeywords:
        try:
            return file_keywords.read(item.file, self.sidecars(item.file))
        except (FileNotFoundError, NotADirectoryError):
            return GONE
        except (OSError, ValueError) as error:
            return file_keywords.FileKeywords([], [getattr(error, "strerror", None) or str(error)])

    def _count(self, item: ImportItem, read: file_keywords.FileKeywords) -> None:
        if read is GONE:
            self.summary.gone += 1
            return
        self.summary.photographs += 1
        self.summary.faults += bool(read.faults)
        for fault in read.faults:
            self.told(item.file, fault)
        counted = {path: keyword for keyword in read.keywords for path in self._paths(keyword)}
        self.summary.with_keywords += bool(counted)
        for path, keyword in counted.items():
            tally = self.summary.tallies.get(_key(path))
            if tally is None:
                label, known = self._label(path)
                tally = self.summary.tallies[_key(path)] = KeywordTally(path, label, known)
            tally.photographs += 1
            tally.origins[keyword.origin] += 1

    def _paths(self, keyword: FileKeyword) -> Iterator[tuple[str, ...]]:
        """Yield a keyword, and those of its upper levels that count, unless they are left out."""
        for depth in range(len(keyword.path), 0, -1):
            path = keyword.path[:depth]
            is_upper = depth < len(keyword.path)
            if is_upper and (self.parents == "none" or (self.parents == "known" and not self._label(path)[1])):
                continue
            if not self._is_excluded(path) and (self._label(path)[1] or not self.only_known):
                yield path

    def _is_excluded(self, path: tuple[str, ...]) -> bool:
        texts = (folded(path[-1]), folded("/".join(path)))
        return any(fnmatchcase(text, pattern) for text in texts for pattern in self.exclude)

    def _label(self, path: tuple[str, ...]) -> tuple[str, bool]:
        found = self._labels.get(path)
        if found is None:
            label = self.match(path[-1])
            found = self._labels[path] = (path[-1] if label is None else label, label is not None)
        return found

    def _lines(
        self,
        wanted: Sequence[tuple[ImportItem, list[FileKeyword]]],
        hashes: Sequence[tuple[str | None, bool]],
        decisions: Decisions,
    ) -> Iterator[Decision]:
        for (item, keywords), (sha256, is_new) in zip(wanted, hashes, strict=True):
            self.summary.stale += bool(is_new and sha256 and not _are_one(decisions, sha256, item.sha256 or sha256))
            if sha256 is None:
                self.summary.faults += 1
                self.told(item.file, "it cannot be read")
                continue
            # a person's word stands, and what a file said before need not be said again
            said = {
                label_key(label)
                for label, verdict in decisions.of_image(sha256).items()
                if verdict.by == "person" or (verdict.by == "file" and verdict.value == "yes")
            }
            for keyword in keywords:
                for path in self._paths(keyword):
                    label, _ = self._label(path)
                    if label_key(label) not in said:
                        said.add(label_key(label))
                        self.summary.tallies[_key(path)].decided += 1
                        source = _source(keyword.origin, path, label)
                        yield Decision(
                            sha256=sha256, label=label, value="yes", by="file", source=source, batch=self.batch
                        )


def _are_one(decisions: Decisions, *sha256: str) -> bool:
    """Return whether contents are one photograph: keywords that were written into a file make no other one of it."""
    found = decisions.photographs(sha256).tolist()
    return found[0] >= 0 and len(set(found)) == 1


def _key(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(label_key, path))


def _source(origin: str, path: tuple[str, ...], label: str) -> str:
    """Return where a keyword was found, with the keyword where the label does not say it."""
    return origin if path == (label,) else f"{origin} {'/'.join(path)}"


def _content(item: ImportItem) -> tuple[str | None, bool]:
    """Return the SHA-256 of a photograph, and whether it is another one than is known; None: it cannot be read."""
    try:
        status = item.file.stat()
        if item.sha256 and (status.st_size, status.st_mtime_ns // 1000) == (item.bytes, item.mtime):
            return item.sha256, False
        found = file_sha256(item.file)
    except (OSError, ValueError):
        return None, False
    return found, item.sha256 is not None and found != item.sha256
