"""What people, files and models have decided: the lines of a ledger resolved to the last word for each photograph.

A person outranks a file, a file a model; among equals the later line wins. `clear` takes back what the same or a lower
rank said before it. `same_as` makes two contents one photograph, wherever the line stands: what is decided of either,
before or after, holds for both, so that a file whose keywords are taken out again, and ledgers that are merged in
another order, lose nothing. Labels are compared without case, Unicode form and repeated blanks.

Shapes: N photographs as asked, L labels, I contents (SHA-256) that the ledger names, P decided pairs of photograph and
label.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.text import counted
from aaam_pipeline.formats.decision_columns import BY, VALUES, Digests, Ints, LineColumns, Verdict
from aaam_pipeline.formats.decision_lines import Block, By, Decision, Inheritance, Line, blocks, encode, label_key
from aaam_pipeline.formats.targets import UNKNOWN

__all__ = ["Decision", "Decisions", "Inheritance", "Verdict", "digests", "encode", "label_key", "read", "resolve"]

# rows that are made at a time
ROWS = 10_000


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

    def __init__(self, table: LineColumns, labels: list[str]) -> None:
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
        self._by_P = table.by_N[self._line_P[by_label]]
        self._bounds_L = np.searchsorted(label_P, np.arange(len(labels) + 1))
        self.labels = [label for label, count in zip(labels, np.diff(self._bounds_L), strict=True) if count]

    def __len__(self) -> int:
        """Return how many pairs of a photograph and a label are decided."""
        return len(self._pair_P)

    def of_label(self, label: str, by: By | None = None) -> tuple[Digests, Digests]:
        """Return the contents that show a label, and those that do not; sorted, S32. `by`: only where these say so."""
        roots, yes = self._of_label(label, by)
        return self._contents(roots[yes]), self._contents(roots[~yes])

    def of_image(self, sha256: str) -> dict[str, Verdict]:
        """Return what is decided of a photograph, by label."""
        found = self._find(digests([sha256]))[0] if self._labels else -1
        if found < 0:
            return {}
        size, root = len(self._labels), self._root_I[found]
        first, last = np.searchsorted(self._pair_P, [root * size, (root + 1) * size])
        return {
            self._labels[column]: verdict
            for column, verdict in zip(
                self._pair_P[first:last] % size, self._table.verdicts(self._line_P[first:last]), strict=True
            )
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

    def verdicts(self, label: str | None = None) -> Iterator[tuple[str, str, Verdict]]:
        """Yield SHA-256, label and verdict of each decided pair, or of those of a label, in the order of their lines.

        The content is the one that the line names: `same_photograph` has the others.
        """
        label_P = self._pair_P % max(1, len(self._labels))
        chosen_P = np.arange(len(self)) if label is None else self._chosen(label_P, label)
        chosen_P = chosen_P[np.argsort(self._line_P[chosen_P], kind="stable")]
        for start in range(0, len(chosen_P), ROWS):
            block = chosen_P[start : start + ROWS]
            content = self._table.digest_N[self._line_P[block]].tobytes().hex()
            verdicts = self._table.verdicts(self._line_P[block])
            for row, (column, verdict) in enumerate(zip(label_P[block].tolist(), verdicts, strict=True)):
                yield content[64 * row : 64 * row + 64], self._labels[column], verdict

    def _chosen(self, label_P: Ints, label: str) -> Ints:
        column = self._columns.get(label_key(label), -1)
        return np.flatnonzero(label_P == column)

    def same_photograph(self, sha256: str) -> list[str]:
        """Return all contents that are the same photograph as one, that one included."""
        found = self._find(digests([sha256]))[0] if len(self._table.same) else -1
        if found < 0:
            return [sha256]
        content = self._contents(self._root_I[found : found + 1]).tobytes().hex()
        return [content[start : start + 64] for start in range(0, len(content), 64)]

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

    def _of_label(self, label: str, by: By | None = None) -> tuple[Ints, NDArray[np.bool_]]:
        column = self._columns.get(label_key(label))
        if column is None:
            return np.empty(0, np.int64), np.empty(0, np.bool_)
        chosen = slice(self._bounds_L[column], self._bounds_L[column + 1])
        roots, yes = self._root_P[chosen], self._yes_P[chosen]
        if by is None:
            return roots, yes
        said = self._by_P[chosen] == BY[by]
        return roots[said], yes[said]

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


def _resolved(read: Iterable[Block]) -> Decisions:
    table = LineColumns(read)
    # spellings of one label become one column, which is spelled as the first of them
    columns: dict[str, int] = {}
    labels: list[str] = []
    for text in table.spellings:
        if columns.setdefault(label_key(text), len(columns)) == len(labels):
            labels.append(text)
    column_S = np.array([columns[label_key(text)] for text in table.spellings], dtype=np.int64)
    table.label_N = column_S[table.label_N] if len(column_S) else table.label_N
    return Decisions(table, labels)
