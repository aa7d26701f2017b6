"""Ledgers made one: of two machines, of two branches, or of the sides of a conflict that git has left in a file.

Each ledger keeps its own order, lines that several have are there once, and where nothing else says so the earlier
decision comes first. Merging again changes nothing. Lines that cannot be read are kept as they are.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from aaam_pipeline.formats.decision_lines import BOM, CONFLICT_MARK, DECODER

BLOCK = 1 << 16


def merged(ledgers: Sequence[bytes]) -> bytes:
    """Return the lines of several ledgers as one; git's conflicts in them are resolved."""
    # most have a past in common, which needs no look at its lines
    start = 0 if any(map(has_conflict, ledgers)) else _common(ledgers)
    lines: list[bytes] = []
    for ledger in ledgers:
        for side in versions(ledger[start:]):
            lines = _interleaved(lines, side) if lines else side
    past = ledgers[0][:start] if ledgers else b""
    return past + b"".join(line + b"\n" for line in lines)


def _common(ledgers: Sequence[bytes]) -> int:
    """Return how many bytes at their beginnings all ledgers have in common, up to the end of a line."""
    start = 0
    while ledgers and (block := ledgers[0][start : start + BLOCK]):
        if b"\r" in block or not all(ledger.startswith(block, start) for ledger in ledgers[1:]):
            # the last few lines of it are looked at one by one
            break
        start += len(block)
    end = ledgers[0].rfind(b"\n", 0, start) + 1 if ledgers else 0
    return 0 if ledgers and ledgers[0].startswith(BOM) else end


def has_conflict(content: bytes) -> bool:
    """Return whether git has left marks of a conflict in a ledger."""
    return CONFLICT_MARK.search(content) is not None


def versions(content: bytes) -> list[list[bytes]]:
    """Return the lines of a ledger, and where git has left a conflict those of each side."""
    ours, theirs, taken = list[bytes](), list[bytes](), [0, 1]
    conflict = False
    for text in content.removeprefix(BOM).split(b"\n"):
        line = text.removesuffix(b"\r")
        if CONFLICT_MARK.match(line):
            conflict = True
            # what both sides had before (`|||||||`) is in both
            taken = {b"<": [0], b"|": [], b"=": [1], b">": [0, 1]}[line[:1]]
        elif line.strip():
            for side in taken:
                (ours, theirs)[side].append(line)
    return [ours, theirs] if conflict else [ours]


def _interleaved(one: list[bytes], other: list[bytes]) -> list[bytes]:
    """Return the lines of both, those that both have once, each in its own order."""
    # how often the rest of each has a line
    left, right = Counter(one), Counter(other)
    found: list[bytes] = []
    skipped: Counter[bytes] = Counter()
    i = j = 0
    while i < len(one) and j < len(other):
        first, second = one[i], other[j]
        if skipped[second]:
            skipped[second] -= 1
            right[second] -= 1
            j += 1
        elif first == second:
            found.append(first)
            left[first] -= 1
            right[first] -= 1
            i, j = i + 1, j + 1
        elif left[second] or (not right[first] and _time(first) <= _time(second)):
            # where the two have lines in another order, it is that of the first
            skipped[first] += right[first] > skipped[first]
            found.append(first)
            left[first] -= 1
            i += 1
        else:
            found.append(second)
            right[second] -= 1
            j += 1
    found += one[i:]
    for line in other[j:]:
        if skipped[line]:
            skipped[line] -= 1
        else:
            found.append(line)
    return found


def _time(line: bytes) -> str:
    """Return when a line was written; what cannot be read is oldest."""
    try:
        return DECODER.decode(line).at
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
