"""The lines of a ledger of decisions: UTF-8 text, one JSON object a line, of two kinds.

    {"sha256": "<64 hex>", "label": "dog", "value": "yes", "by": "person", "source": "anna",
     "at": "2026-11-29T10:00:00Z", "model": "<model_id>", "score": 0.83, "batch": "<id of the command>"}
    {"sha256": "<new>", "same_as": "<old>", "by": "file", "source": "keywords", "at": "2026-11-29T10:00:00Z"}

`model` and `score` (what the model gave at that time) and `batch` may be absent; fields that are not known are let be.
A line that cannot be read is a fault, and costs no other line. What the lines mean together: `decisions`.
"""

import re
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from aaam_pipeline.core.artifacts import path_text
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.text import folded, nfc

Value = Literal["yes", "no", "clear"]
By = Literal["person", "file", "model"]
BLOCK_BYTES = 4 << 20
BOM = b"\xef\xbb\xbf"
CUT = "it is cut off"
CONFLICT = "a mark of a conflict of git"
BEGINNING = b'{"sha256":'
CONFLICT_MARK = re.compile(rb"^(?:[<>|]{7} |={7}\r?$)", re.MULTILINE)


class Decision(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What somebody says of a word and a photograph, which is named by its content.

    `by`: a person outranks a file, a file a model; `clear` takes back what the same or a lower rank said. `source`: who
    or what it was. `at`: UTC, ISO 8601. `model`, `score`: what the model gave then, a probability in [0, 1].
    `batch`: equal in all lines of one command.
    """

    sha256: str
    label: str
    value: Value
    by: By
    source: str = ""
    at: str = ""
    model: str | None = None
    score: float | None = None
    batch: str = ""


class Inheritance(msgspec.Struct, frozen=True, kw_only=True):
    """That two contents are one photograph: `sha256` has come of `same_as`, as when a keyword was embedded."""

    sha256: str
    same_as: str
    by: By = "file"
    source: str = ""
    at: str = ""
    batch: str = ""


class Line(msgspec.Struct, gc=False):
    """A line as it is read, of either kind."""

    sha256: str
    by: By = "file"
    label: str = ""
    value: Value | None = None
    same_as: str = ""
    source: str = ""
    at: str = ""
    model: str | None = None
    score: float | None = None
    batch: str = ""

    def entry(self) -> Decision | Inheritance:
        """Return what a sound line says."""
        if self.value is None:
            return Inheritance(
                sha256=self.sha256, same_as=self.same_as, by=self.by, source=self.source, at=self.at, batch=self.batch
            )
        return Decision(
            sha256=self.sha256,
            label=self.label,
            value=self.value,
            by=self.by,
            source=self.source,
            at=self.at,
            model=self.model,
            score=self.score,
            batch=self.batch,
        )


class Fault(NamedTuple):
    """A line that cannot be read; the first line has the number 1."""

    line: int
    why: str


class Block(NamedTuple):
    """Some lines of a ledger: the sound ones, and the faults; `cut`: its last line has no end and cannot be read.

    `digests`: the SHA-256 of the lines, 32 bytes each, where they are at hand.
    """

    lines: list[Line]
    faults: list[Fault]
    cut: bool = False
    digests: bytes | None = None


SAME_AS = attrgetter("same_as")
DECODER = msgspec.json.Decoder(Line)
_ENCODER = msgspec.json.Encoder()


def encode(entry: Decision | Inheritance) -> bytes:
    """Return the line of an entry, its end included; the label in Unicode's composed form.

    Raises:
        ValueError: it could not be read.
    """
    if why := fault_of(msgspec.convert(entry, Line, from_attributes=True)):
        raise ValueError(f"no decision: {why}: {entry}")
    if isinstance(entry, Decision) and entry.label != (label := nfc(entry.label)):
        entry = msgspec.structs.replace(entry, label=label)
    return _ENCODER.encode(entry) + b"\n"


def label_key(label: str) -> str:
    """Return what is equal for spellings of one label: case, Unicode form and repeated blanks make no other label."""
    return " ".join(folded(label).split())


def blocks(path: Path) -> Iterator[Block]:
    """Read a ledger some thousand lines at a time; one that is not there is empty.

    Raises:
        OSError: it cannot be read.
    """
    number, rest = 1, b""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        while chunk := stream.read(BLOCK_BYTES):
            text = (rest or b"") + chunk
            if number == 1 and text.startswith(BOM):
                text = text.removeprefix(BOM)
            whole, end, rest = text.rpartition(b"\n")
            if end:
                yield decode(whole + end, number)
                number += whole.count(b"\n") + 1
    if rest.strip():
        yield decode(rest, number, last=True)


def decode(text: bytes, first: int = 1, last: bool = False) -> Block:
    """Return what whole lines hold; `first`: the number of the first; `last`: one line that nothing ends."""
    try:
        lines = DECODER.decode_lines(text)
        if (digests := _checked(lines)) is not None:
            return Block(lines, [], digests=digests)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    found, faults = [], []
    for number, each in enumerate(text.split(b"\n"), first):
        if not each.strip():
            continue
        try:
            line = DECODER.decode(each)
            why = fault_of(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            why = CONFLICT if CONFLICT_MARK.match(each) else CUT if last else str(error)
        if why:
            faults.append(Fault(number, why))
        else:
            found.append(line)
    return Block(found, faults, last and bool(faults))


def fault_of(line: Line) -> str:
    """Say why a line of JSON means nothing; "" where it is sound."""
    if not _is_hash(line.sha256):
        return f"its sha256 is not 64 hexadecimal digits: {line.sha256[:80]!r}"
    if line.value is None:
        if line.label:
            return "it says neither yes nor no"
        return "" if _is_hash(line.same_as) else "it has no label and no same_as of 64 hexadecimal digits"
    if line.same_as:
        return "it has a value and same_as, which are of different lines"
    return "" if label_key(line.label) else "its label is empty"


def refuse_ledger(path: Path) -> None:
    """Check that a file that is to be replaced is no ledger, as far as its beginning shows: no run can make it again.

    Raises:
        UsageError: it is one.
    """
    if not path.is_file():
        return
    with path.open("rb") as stream:
        start = stream.read(1 << 10).removeprefix(BOM).lstrip(b"\0\r\n\t ")
    if start.startswith(BEGINNING) or CONFLICT_MARK.match(start):
        raise UsageError(f"{path_text(path)} is a ledger of decisions, and is never replaced; name another file")


def _is_hash(text: str) -> bool:
    return re.fullmatch("[0-9a-fA-F]{64}", text) is not None


def _checked(lines: Sequence[Line]) -> bytes | None:
    """Return the digests of lines, 32 bytes each; None where any has a fault: that of `fault_of`, of all at once."""
    hashes = [line.sha256 for line in lines]
    inherited = [line for line in lines if line.value is None]
    decided = [line for line in lines if line.value is not None] if inherited else lines
    others = [line.same_as for line in inherited]
    if {*map(len, hashes), *map(len, others)} - {64} or any(map(SAME_AS, decided)):
        return None
    try:
        digests, other = bytes.fromhex("".join(hashes)), bytes.fromhex("".join(others))
    except ValueError:
        return None
    # blanks between digits are left out
    whole = len(digests) == 32 * len(hashes) and len(other) == 32 * len(others)
    labelled = all(map(label_key, {line.label for line in decided}))
    return digests if whole and labelled and not any(line.label for line in inherited) else None
