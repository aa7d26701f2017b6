"""Taking decisions back: nothing is deleted, lines are added that make the ledger mean what it would without others.

The lines of one command are a batch. Those that take batch B back are the batch `undo-B`: B does not count as long as
that one does, and to take `undo-B` back (`undo-undo-B`) brings B again. What was decided of the same photograph and
label after B stays.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from aaam_pipeline.formats.decision_columns import BY, RANKS
from aaam_pipeline.formats.decision_lines import Decision, Line, blocks, label_key

UNDO = "undo-"
Pair = tuple[str, str]
# by rank, the line that holds
State = dict[int, Line]


class DecidedBatch(NamedTuple):
    """The lines of one command: how many decide, time and source of the first; whether they are taken back."""

    id: str
    decisions: int
    at: str
    source: str
    undone: bool


def batches(path: Path) -> list[DecidedBatch]:
    """Return the batches of a ledger, the oldest first; those that take others back are not among them.

    Raises:
        OSError: the ledger cannot be read.
    """
    counts: Counter[str] = Counter()
    first: dict[str, tuple[str, str]] = {}
    for line in _decisions(path):
        id = batch_of(line)
        counts[id] += 1
        first.setdefault(id, (line.at, line.source))
    return [
        DecidedBatch(id, count, *first[id], not _counts(id, counts))
        for id, count in counts.items()
        if not id.startswith(UNDO)
    ]


def batch_of(line: Line) -> str:
    """Return the batch of a line; of one that names none, as when a person wrote it, its time and source."""
    return line.batch or f"{line.at} {line.source}".strip() or "none"


def take_back(path: Path, batch: str) -> list[Decision]:
    """Return what must be added to a ledger so that it means what it would without a batch.

    None if it has no such batch, or that does not count already.

    Raises:
        OSError: the ledger cannot be read.
    """
    known, same, touched = set[str](), dict[str, str](), dict[Pair, Line]()
    for block in blocks(path):
        for line in block.lines:
            if line.value is None:
                _join(same, line.sha256.lower(), line.same_as.lower())
            else:
                known.add(batch_of(line))
    if not _counts(batch, known):
        return []
    # what brought it again, if it was taken back before
    while UNDO + batch in known:
        batch = UNDO + UNDO + batch
    for line in _decisions(path):
        if batch_of(line) == batch:
            pair = _pair(line, same)
            # of the highest rank: what it took away may be of any rank below
            if pair not in touched or BY[line.by] > BY[touched[pair].by]:
                touched[pair] = line
    after = known | {UNDO + batch}
    counting = {id for id in known if _counts(id, after) and not id.startswith(UNDO)}
    now: dict[Pair, State] = {pair: {} for pair in touched}
    wanted: dict[Pair, State] = {pair: {} for pair in touched}
    for line in _decisions(path):
        if (pair := _pair(line, same)) in touched:
            apply(now[pair], line)
            if batch_of(line) in counting:
                apply(wanted[pair], line)
    return [
        decision
        for pair, line in touched.items()
        for decision in _restored(line, now[pair], wanted[pair], UNDO + batch)
    ]


def apply(state: State, line: Line) -> None:
    """Let a line decide."""
    rank = BY[line.by]
    if line.value == "clear":
        for lower in range(rank + 1):
            state.pop(lower, None)
    else:
        state[rank] = line


def _restored(undone: Line, now: State, wanted: State, batch: str) -> Iterator[Decision]:
    """Yield what makes a pair's state `wanted` in the ranks that an undone line could change; of the highest always."""
    top = BY[undone.by]
    said = [wanted[rank] for rank in range(top + 1) if rank in wanted]
    if top not in wanted or any(rank in now and rank not in wanted for rank in range(top)):
        # it takes everything below, too
        yield Decision(
            sha256=undone.sha256, label=undone.label, value="clear", by=RANKS[top], source="undo", batch=batch
        )
    for line in said:
        decision = line.entry()
        assert isinstance(decision, Decision)
        yield Decision(
            **{name: getattr(decision, name) for name in decision.__struct_fields__ if name != "batch"}, batch=batch
        )


def _counts(batch: str, known: Iterable[str]) -> bool:
    """Return whether no batch that counts takes this one back."""
    by = UNDO + batch
    return by not in known or not _counts(by, known)


def _decisions(path: Path) -> Iterator[Line]:
    return (line for block in blocks(path) for line in block.lines if line.value is not None)


def _pair(line: Line, same: dict[str, str]) -> Pair:
    sha256 = line.sha256.lower()
    return _first(same, sha256) if same else sha256, label_key(line.label)


def _first(same: dict[str, str], sha256: str) -> str:
    """Return the content that stands for all that are the same photograph."""
    while (other := same.get(sha256, sha256)) != sha256:
        same[sha256] = sha256 = same.get(other, other)
    return sha256


def _join(same: dict[str, str], one: str, other: str) -> None:
    same[_first(same, one)] = _first(same, other)
