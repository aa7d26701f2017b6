"""Rows of the ledger as they are listed and exported: which ones, of which photographs, in which words."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aaam_pipeline.cli import decided, render
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.text import counted
from aaam_pipeline.formats.decision_lines import Decision, blocks, label_key

if TYPE_CHECKING:
    from aaam_pipeline.formats.decisions import Decisions
    from aaam_pipeline.search.reader import IndexReader

Row = dict[str, Any]
SHORT = 12
"""Digits of a SHA-256 that people see of a photograph that the index has not."""
NAMED = 3


class Filter(NamedTuple):
    """Which decisions are asked for; None: any."""

    label: str | None
    sha256: str | None
    value: str | None
    by: str | None
    source: str | None
    since: str | None

    @classmethod
    def of(
        cls,
        label: str | None,
        photo: str | None,
        value: str | None,
        by: str | None,
        source: str | None,
        since: str | None,
        index: "IndexReader | None",
    ) -> "Filter":
        """Return what a command line asks for.

        Raises:
            UsageError: there is no such photograph, or no such time.
        """
        sha256 = photo
        if photo is not None and not (len(photo) == 64 and set(photo.lower()) <= set("0123456789abcdef")):
            sha256 = decided.photograph(photo, index).sha256
        return cls(label and label_key(label), sha256 and sha256.lower(), value, by, source, _time(since))

    def takes(self, row: Row, same: Iterable[str] = ()) -> bool:
        """Return whether a decision is asked for; `same`: other contents that are the photograph asked for."""
        return (
            (self.label is None or label_key(row.get("label") or "") == self.label)
            and (self.sha256 is None or row["sha256"].lower() == self.sha256 or row["sha256"].lower() in same)
            and (self.value is None or row.get("value") == self.value)
            and (self.by is None or row["by"] == self.by)
            and (self.source is None or row["source"] == self.source)
            and (self.since is None or row["at"] >= self.since)
        )


def _time(since: str | None) -> str | None:
    """Return a day or a time as the ledger has it, in UTC."""
    if since is None:
        return None
    try:
        when = datetime.fromisoformat(since)
    except ValueError:
        raise UsageError(f"--since {since}: write a day, 2026-11-29, or a time, 2026-11-29T10:00") from None
    return (when.astimezone(UTC) if when.tzinfo else when).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_force(read: "Decisions", chosen: Filter) -> Iterator[Row]:
    """Yield what holds, in the order in which it was said."""
    same = read.same_photograph(chosen.sha256) if chosen.sha256 else ()
    for sha256, label, verdict in read.verdicts(chosen.label):
        row = {"sha256": sha256, "label": label, **msgspec.structs.asdict(verdict)}
        if chosen.takes(row, same):
            # of a photograph whose file was changed by us, the content that an index may have
            yield row | {"also": [each for each in read.same_photograph(sha256) if each != sha256]}


def history(path: Path, chosen: Filter) -> Iterator[Row]:
    """Yield the lines of a ledger that can be read."""
    for block in blocks(path):
        for line in block.lines:
            row = msgspec.to_builtins(line.entry())
            row |= {name: row.get(name, "") for name in ("by", "source", "at", "batch")}
            if chosen.takes(row):
                yield row


def located(rows: Iterable[Row], index: "IndexReader | None") -> Iterator[list[Row]]:
    """Yield rows, some thousand at a time, each with `image`: where the photograph lies, None if nobody knows."""
    waiting = iter(rows)
    while block := list(islice(waiting, decided.BLOCK)):
        also = [row.pop("also", []) for row in block]
        names = {row["sha256"] for row in block}.union(*also)
        found = decided.locations(index, names)
        yield [
            {"image": next((found[each] for each in (row["sha256"], *others) if each in found), None), **row}
            for row, others in zip(block, also, strict=True)
        ]


def line(row: Row) -> list[str]:
    """Return what people see of a decision."""
    photo = render.near(Path(row["image"])) if row["image"] else row["sha256"][:SHORT]
    value, label = ("same as", row["same_as"][:SHORT]) if "same_as" in row else (row["value"], row["label"])
    return [row["at"], value, label, str(photo), " ".join(filter(None, [row["by"], row["source"]]))]


def cleared(read: "Decisions", chosen: Filter) -> list[Decision]:
    """Return what takes back all that is decided of a photograph or a word."""
    return [
        Decision(sha256=row["sha256"], label=row["label"], value="clear", by=row["by"], source="undo")
        for row in in_force(read, chosen)
    ]


def new(made: Sequence[Decision], read: "Decisions") -> list[Decision]:
    """Return the decisions that say something else than what holds by the same rank or a higher one."""
    from aaam_pipeline.formats.decision_columns import BY

    wanted = {each.sha256 for each in made}
    holds = {
        (sha256, label_key(label)): (verdict.value, BY[verdict.by])
        for sha256, label, verdict in read.verdicts()
        if sha256 in wanted
    }
    found = []
    for each in made:
        value, rank = holds.get((each.sha256, label_key(each.label)), ("clear", BY[each.by]))
        if value != each.value or rank < BY[each.by]:
            found.append(each)
    return found


def counts(read: "Decisions") -> dict[str, int]:
    """Return how much a ledger holds."""
    said = Counter(name for _, _, verdict in read.verdicts() for name in (verdict.value, verdict.by))
    return {
        "lines": read.lines,
        "skipped": read.skipped,
        "decisions": len(read),
        "labels": len(read.labels),
        "photographs": len(read.contents()),
        **{name: said[name] for name in ("yes", "no", "person", "file", "model")},
    }


def sentence(facts: dict[str, int]) -> str:
    """Return the same in words."""
    return (
        f"{counted(facts['decisions'], 'decision', ',')} ({facts['yes']:,} yes, {facts['no']:,} no) of "
        f"{counted(facts['labels'], 'word', ',')} and {counted(facts['photographs'], 'photograph', ',')}, in "
        f"{counted(facts['lines'], 'line', ',')}"
    )


def words(made: "Sequence[Decision]") -> str:
    """Return the first words of decisions, as they are said after their number."""
    labels = list(dict.fromkeys(each.label for each in made))
    more = f" and {len(labels) - NAMED} more" if labels[NAMED:] else ""
    return f": {', '.join(labels[:NAMED])}{more}" if labels else ""
