"""What people, files and models have decided: the lines of a ledger resolved to the last word for each photograph.

A person outranks a file, a file a model; among equals the later line wins. `clear` takes back what the same or a lower
rank said before it. `same_as` makes two contents one photograph, wherever the line stands: what is decided of either,
before or after, holds for both, so that a file whose keywords are taken out again, and ledgers that are merged in
another order, lose nothing. Labels are compared without case, Unicode form and repeated blanks.

Shapes: N photographs as asked, L labels, I contents (SHA-256) that the ledger names, P decided pairs of photograph and
label.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.text import counted, nfc
from aaam_pipeline.formats.decision_lines import Block, Decision, Fault, Inheritance, Line, blocks, encode, label_key
from aaam_pipeline.formats.targets import UNKNOWN

__all__ = ["Decision", "Decisions", "Inheritance", "Verdict", "digests", "encode", "label_key", "read", "resolve"]
# ranks, the highest last; values as targets have them
BY: dict[str, int] = {"model": 0, "file": 1, "person": 2}
VALUES: dict[str, int] = {"no": 0, "yes": 1, "clear": 2}
CLEAR = VALUES["clear"]
# faults that are kept; of more the number is known
KEPT = 1000
Digests = NDArray[np.bytes_]
Ints = NDArray[np.int64]


class Verdict(msgspec.Struct, frozen=True):
    """What holds for a photograph and a label, and the line that says it: see `Decision`."""

    value: Literal["yes", "no"]
    by: Literal["person", "file", "model"]
    source: str
    at: str
    model: str | None = None
    score: float | None = None


def digests(sha256_N: Sequence[str]) -> Digests:
    """Return SHA-256 hashes, 64 hexadecimal digits each, as an array of S32.

    NumPy leaves out zero bytes at the end of a single item: `array.tobytes()` has them all.
    """
    return np.frombuffer(bytes.fromhex("".join(sha256_N)), dtype="S32")


def read(path: Path) -> "Decisions":
    """Read a ledger; one that is not there is empty. Lines that cannot be read are left out, and counted.

    Raises:
        OSError: the file cannot be read.
    """
    return _resolved(blocks(path))


def resolve(entries: Iterable[Decision | Inheritance]) -> "Decisions":
    """Return what entries say together, in their order."""
    lines = [msgspec.convert(each, Line, from_attributes=True) for each in entries]
    return _resolved([Block(lines, [])])


class Decisions:
    """What is decided; see `read`.

    `labels`: those with any yes or no, as they were spelled first. `lines`: how many were read. `skipped`: how many
    could not be, the last one included if it is `cut`; `faults`: the first of these.
    """

    def __init__(self, table: "_Table", labels: list[str]) -> None:
        self._table = table
        self.lines, self.skipped, self.cut, self.faults = table.lines, table.skipped, table.cut, table.faults
        self._columns = {label_key(label): column for column, label in enumerate(labels)}
        self._labels = labels
        self._digest_I, self._root_I, self._pair_P, self._line_P = table.resolved(len(labels))
        # contents by photograph: those of photograph `root` are _member_I[_start_I[root] : _start_I[root + 1]]
        self._member_I = np.argsort(self._root_I, kind="stable")
        self._start_I = np.searchsorted(self._root_I[self._member_I], np.arange(len(self._root_I) + 1))
        by_label = np.argsort(self._pair_P % max(1, len(labels)), kind="stable")
        self._root_P, label_P = np.divmod(self._pair_P[by_label], max(1, len(labels)))
        self._yes_P = table.value_N[self._line_P[by_label]] == VALUES["yes"]
        self._bounds_L = np.searchsorted(label_P, np.arange(len(labels) + 1))
        self.labels = [label for label, count in zip(labels, np.diff(self._bounds_L), strict=True) if count]

    def __len__(self) -> int:
        """Return how many pairs of a photograph and a label are decided."""
        return len(self._pair_P)

    def of_label(self, label: str) -> tuple[Digests, Digests]:
        """Return the contents that show a label, and those that do not; sorted, S32."""
        roots, yes = self._of_label(label)
        return self._contents(roots[yes]), self._contents(roots[~yes])

    def of_image(self, sha256: str) -> dict[str, Verdict]:
        """Return what is decided of a photograph, by label."""
        found = self._find(digests([sha256]))[0] if self._labels else -1
        if found < 0:
            return {}
        size, root = len(self._labels), self._root_I[found]
        first, last = np.searchsorted(self._pair_P, [root * size, (root + 1) * size])
        return {
            self._labels[self._pair_P[pair] % size]: self._table.verdict(self._line_P[pair])
            for pair in range(first, last)
        }

    def matrix(self, sha256_N: Sequence[str], labels: Sequence[str]) -> NDArray[np.int8]:
        """Return what is decided of photographs, int8, N x L: 1 yes, 0 no, -1 undecided."""
        out_NL = np.full((len(sha256_N), len(labels)), UNKNOWN, dtype=np.int8)
        if not len(self) or not out_NL.size:
            return out_NL
        found_N = self._find(digests(sha256_N))
        known_N = np.flatnonzero(found_N >= 0)
        root_K = self._root_I[found_N[known_N]]
        value_R = np.empty(len(self._digest_I), dtype=np.int8)
        for column, label in enumerate(labels):
            roots, yes = self._of_label(label)
            if len(roots):
                value_R.fill(UNKNOWN)
                value_R[roots] = yes
                out_NL[known_N, column] = value_R[root_K]
        return out_NL

    def contents(self) -> Digests:
        """Return all contents of which anything is decided; sorted, S32."""
        return self._contents(np.unique(self._root_P))

    def photographs(self, sha256_N: Sequence[str]) -> Ints:
        """Return a number for each content, int64, N: equal where `same_as` makes contents one photograph, else -1."""
        found_N = self._find(digests(sha256_N))
        if not len(self._root_I):
            return found_N
        root_N = self._root_I[found_N]
        several_N = self._start_I[root_N + 1] - self._start_I[root_N] > 1
        return np.where((found_N >= 0) & several_N, root_N, -1)

    def remarks(self) -> list[str]:
        """Say in lines for a person what could not be read; none where all is well."""
        if not self.skipped:
            return []
        first = self.faults[0]
        more = f", and {self.skipped - 1} more" if self.skipped > 1 else ""
        return [
            f"decisions: {counted(self.skipped, 'line')} left out, which cannot be read: line {first.line} "
            f"({first.why}){more}; aaam-pipe decisions verify lists them"
        ]

    def _of_label(self, label: str) -> tuple[Ints, NDArray[np.bool_]]:
        column = self._columns.get(label_key(label))
        if column is None:
            return np.empty(0, np.int64), np.empty(0, np.bool_)
        chosen = slice(self._bounds_L[column], self._bounds_L[column + 1])
        return self._root_P[chosen], self._yes_P[chosen]

    def _contents(self, roots: Ints) -> Digests:
        """Return the contents of photographs, sorted."""
        counts = self._start_I[roots + 1] - self._start_I[roots]
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        found: Digests = self._digest_I[np.sort(self._member_I[np.repeat(self._start_I[roots], counts) + within])]
        return found

    def _find(self, digest_N: Digests) -> Ints:
        """Return where contents stand among those of the ledger, -1 where they do not."""
        if not len(self._digest_I):
            return np.full(len(digest_N), -1)
        place_N = np.minimum(np.searchsorted(self._digest_I, digest_N), len(self._digest_I) - 1)
        return np.where(self._digest_I[place_N] == digest_N, place_N, -1)


class _Codes:
    """Texts, of which there are few, as numbers."""

    def __init__(self) -> None:
        self.codes: dict[str | None, int] = {}
        self.parts: list[NDArray[np.int32]] = []

    def add(self, texts: Sequence[str | None]) -> None:
        codes = self.codes
        for text in dict.fromkeys(texts):
            codes.setdefault(text, len(codes))
        self.parts.append(np.array(list(map(codes.__getitem__, texts)), dtype=np.int32))


class _Table:
    """The lines of a ledger in columns; a line a row in the order of the file."""

    def __init__(self, read: Iterable[Block]) -> None:
        digest, same, value, by, score = [b""], [b""], [b""], [b""], [np.empty(0)]
        label, source, at, model = (_Codes() for _ in range(4))
        self.lines = self.skipped = 0
        self.faults: list[Fault] = []
        self.cut = False
        for block in read:
            self.faults += block.faults[: KEPT - len(self.faults)]
            self.skipped += len(block.faults)
            self.lines += len(block.lines)
            self.cut |= block.cut
            lines = [line for line in block.lines if line.value is not None]
            if len(lines) < len(block.lines):
                pairs = ((line.sha256, line.same_as) for line in block.lines if line.value is None)
                same.append(bytes.fromhex("".join(chain.from_iterable(pairs))))
            digest.append(bytes.fromhex("".join([line.sha256 for line in lines])))
            value.append(bytes([VALUES[line.value or ""] for line in lines]))
            by.append(bytes([BY[line.by] for line in lines]))
            score.append(np.array([line.score for line in lines], dtype=np.float64))
            label.add([line.label for line in lines])
            source.add([line.source for line in lines])
            at.add([line.at for line in lines])
            model.add([line.model for line in lines])
        self.digest_N: Digests = np.frombuffer(b"".join(digest), dtype="S32")
        self.same: Digests = np.frombuffer(b"".join(same), dtype="S32")
        self.value_N = np.frombuffer(b"".join(value), dtype=np.int8)
        self.by_N = np.frombuffer(b"".join(by), dtype=np.int8)
        self.score_N = np.concatenate(score)
        self.spellings = [nfc(text or "") for text in label.codes]
        self.label_N, self.source_N, self.at_N, self.model_N = (
            np.concatenate([np.empty(0, np.int32), *codes.parts]) for codes in (label, source, at, model)
        )
        self.sources, self.times, self.models = (list(codes.codes) for codes in (source, at, model))

    def verdict(self, line: int) -> Verdict:
        """Return what a line says, which is no `clear`."""
        score = float(self.score_N[line])
        return Verdict(
            value="yes" if self.value_N[line] == VALUES["yes"] else "no",
            by=("model", "file", "person")[self.by_N[line]],
            source=self.sources[self.source_N[line]] or "",
            at=self.times[self.at_N[line]] or "",
            model=self.models[self.model_N[line]],
            score=None if np.isnan(score) else score,
        )

    def resolved(self, size: int) -> tuple[Digests, Ints, Ints, Ints]:
        """Return contents (I, sorted), the photograph of each (I), decided pairs (P: photograph x `size` + label,
        sorted) and the line of each (P); `label_N` are columns of `size` labels by then.
        """
        digest_I, place = np.unique(np.concatenate([self.digest_N, self.same]), return_inverse=True)
        count = len(self.digest_N)
        root_I = _photographs(len(digest_I), place[count::2], place[count + 1 :: 2])
        pair_N = root_I[place[:count]] * max(1, size) + self.label_N
        order = np.argsort(pair_N, kind="stable")
        pair_N, value_N, by_N = pair_N[order], self.value_N[order], self.by_N[order]
        starts = np.flatnonzero(np.r_[True, pair_N[1:] != pair_N[:-1]][:count])
        winner = np.full(len(starts), -1)
        for rank in sorted(BY.values()) if count else ():
            said = np.maximum.reduceat(np.where((by_N == rank) & (value_N != CLEAR), order, -1), starts)
            cleared = np.maximum.reduceat(np.where((by_N >= rank) & (value_N == CLEAR), order, -1), starts)
            winner = np.where(said > cleared, said, winner)
        return digest_I, root_I, pair_N[starts][winner >= 0], winner[winner >= 0]


def _photographs(count: int, one: Ints, other: Ints) -> Ints:
    """Return for each content the first of those that are the same photograph, by pairs of contents that are."""
    root = np.arange(count)
    while len(one) and (root[one] != root[other]).any():
        least = np.minimum(root[one], root[other])
        np.minimum.at(root, root[one], least)
        np.minimum.at(root, root[other], least)
        while (root[root] != root).any():
            root = root[root]
    return root


def _resolved(read: Iterable[Block]) -> Decisions:
    table = _Table(read)
    # spellings of one label become one column, which is spelled as the first of them
    columns: dict[str, int] = {}
    labels: list[str] = []
    for text in table.spellings:
        if columns.setdefault(label_key(text), len(columns)) == len(labels):
            labels.append(text)
    column_S = np.array([columns[label_key(text)] for text in table.spellings], dtype=np.int64)
    table.label_N = column_S[table.label_N] if len(column_S) else table.label_N
    return Decisions(table, labels)
