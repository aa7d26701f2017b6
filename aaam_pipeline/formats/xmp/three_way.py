"""The steps of a merge: what became of ours, what goes, what is written, what is copied.

A keyword of ours that is gone was deleted by somebody, and stays deleted. One that has become another (in a tree, in
capitals) was taken over by somebody, and is ours no more. What a person wrote is never removed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec

from aaam_pipeline.formats.xmp.fields import (
    BY_NAME,
    PRIVATE,
    SUBJECT,
    WRITTEN,
    Field,
    Keyword,
    is_shown,
    key,
    keys,
    spelling,
)
from aaam_pipeline.formats.xmp.packet import Packet
from aaam_pipeline.formats.xmp.record import OwnEntry, State, written
from aaam_pipeline.formats.xmp.tree import writable


class Wanted(msgspec.Struct, frozen=True):
    """A label that a photograph has: by a model with its score, or by a decision (`by` person or file, `at`)."""

    label: str
    score: float | None = None
    by: str = "model"
    at: str = ""


class Merged(msgspec.Struct, frozen=True):
    """A packet after a merge, and what became of our labels, in their order.

    `deleted`: ours before, and removed by somebody since; `adopted`: ours before, and rewritten by somebody.
    `unwritable`: labels that XML cannot hold.
    """

    packet: Packet
    added: list[str]
    removed: list[str]
    deleted: list[str]
    adopted: list[str]
    unwritable: list[str]


def always(_: str) -> bool:
    """Return that a label is concerned."""
    return True


def without_ours(packet: Packet) -> Packet:
    """Return the packet as if we had never been there; the same one if we were not.

    Raises:
        XmpError: a field is written in a way that is not understood.
    """
    entries = packet.ours()
    if not entries:
        return packet
    gone = {field.name: written(entries, field.name) for field in WRITTEN}
    return packet.with_keywords({}, gone, [each for each in entries if each.kind == "replaced"])


class ThreeWay:
    """One merge: see `merge`."""

    def __init__(
        self,
        packet: Packet,
        others: Iterable[Keyword] = (),
        model: str = "",
        at: str = "",
        concerned: Callable[[str], bool] = always,
        elsewhere: Collection[str] = (),
    ) -> None:
        self.elsewhere = set(map(key, elsewhere))
        self.packet, self.model, self.at, self.concerned = packet, model, at, concerned
        entries = packet.ours()
        self.kept = [each for each in entries if each.kind in ("replaced", "sidecar")]
        self.copies = [each for each in entries if each.kind == "copy"]
        self.entries = {key(each.value): each for each in entries if each.kind == "keyword"}
        self.theirs = packet.theirs()
        inside = {keys(each.path) for each in self.theirs}
        self.outside = [each for each in others if keys(each.path) not in inside]
        self.known = [*self.theirs, *self.outside]
        # per field, the texts that are there and will be
        self.texts = {field: {spelling(text): text for text in packet.values(field)} for field in WRITTEN}
        self.levels = {field: _levels(field, self.texts[field].values()) for field in WRITTEN}
        self.add: dict[str, list[str]] = {field.name: [] for field in WRITTEN}
        self.remove: dict[str, set[str]] = {field.name: set() for field in WRITTEN}
        self.added: list[str] = []
        self.removed: list[str] = []
        self.deleted: list[str] = []
        self.adopted: list[str] = []
        self.unwritable: list[str] = []

    def run(self, wanted: Sequence[Wanted], refused: Collection[str], created: bool) -> Merged:
        """Return the packet after the merge, and what became of labels."""
        self.looked_at()
        no = {*map(key, refused), *self.elsewhere.difference(self.entries)}
        yes = {key(each.label): each for each in wanted if key(each.label) not in no}
        for word, entry in list(self.entries.items()):
            if self.concerned(entry.value) and not entry.state and word not in yes:
                self.withdraw(word, entry)
            elif word in yes and _is_decided_since(yes[word], entry):
                del self.entries[word]
        self.drop_copies()
        self.write_all(new := [each for word, each in yes.items() if self.concerned(each.label) and self.is_open(word)])
        if not self.has_ours():
            # copies only keep ours from hiding a person's; without them, a label may be missing that they showed
            for copy in self.copies:
                self.take_out(copy)
            self.copies = []
            self.write_all(new)
        if self.has_ours():
            self.copy(no)
        self.forget_copies()
        return self.merged(created)

    def looked_at(self) -> "ThreeWay":
        """Find out what became of the labels that we wrote."""
        for word, entry in list(self.entries.items()):
            if entry.state:
                # what showed it when it was closed was not written by us; what shows it now was written since
                if not entry.text and self.is_shown(word):
                    del self.entries[word]
                    self.adopted.append(entry.value)
                continue
            missing = [field for field in _fields(entry) if spelling(entry.value) not in self.texts[field]]
            if any(self.shows(field, word) for field in missing):
                # moved in a tree or respelled: somebody has made it theirs
                del self.entries[word]
                self.adopted.append(entry.value)
                continue
            missing += [field for field in WRITTEN if field.name in entry.seen and not self.shows(field, word)]
            if word in self.elsewhere or any(self.texts[field] or not self.shows(SUBJECT, word) for field in missing):
                self.deleted.append(entry.value)
                self.close(word, entry, "deleted")
        self.forget_copies()
        return self

    def forget_copies(self) -> None:
        """Forget copies in a field that is gone as a whole: by us, or by a program that does not know it."""
        self.copies = [each for each in self.copies if any(self.texts[field] for field in _fields(each))]

    def close(self, word: str, entry: OwnEntry, state: State) -> None:
        """Take a label of ours out, and remember that it is not to be written again."""
        self.take_out(entry)
        still = "shown" if self.is_shown(word) else ""
        self.entries[word] = msgspec.structs.replace(entry, fields=(), seen=(), state=state, at=self.at, text=still)

    def is_shown(self, word: str) -> bool:
        """Return whether any field that we write holds a word."""
        return any(self.shows(field, word) for field in WRITTEN)

    def shows(self, field: Field, word: str) -> bool:
        """Return whether a field holds a word, at whichever level of a hierarchy."""
        return (word,) in self.levels[field]

    def is_open(self, word: str) -> bool:
        """Return whether a label may be written: nobody has deleted it."""
        return word not in self.entries or self.entries[word].state != "deleted"

    def has_ours(self) -> bool:
        """Return whether any label is ours."""
        return any(entry.fields for entry in self.entries.values())

    def write_all(self, new: Sequence[Wanted]) -> None:
        """Write labels, as far as XML can hold them."""
        for each in new:
            if not writable(each.label) or not is_shown(each.label):
                self.unwritable.append(each.label)
            else:
                self.write(each)

    def withdraw(self, word: str, entry: OwnEntry) -> None:
        """Take a label of ours out; remember it where only fields show it that a program copied it to."""
        self.removed.append(entry.value)
        self.close(word, entry, "withdrawn")
        if self.is_shown(word) or not any(word in keys(each.path) for each in self.theirs):
            del self.entries[word]

    def take_out(self, entry: OwnEntry) -> None:
        """Take what we wrote of a keyword out of its fields."""
        for field in _fields(entry):
            if self.texts[field].pop(spelling(entry.value), None) is not None:
                self.remove[field.name].add(entry.value)
                self.levels[field] = _levels(field, self.texts[field].values())

    def put(self, field: Field, text: str) -> None:
        """Add a text to a field."""
        self.texts[field][spelling(text)] = text
        self.levels[field] |= _levels(field, [text])
        self.add[field.name].append(text)

    def write(self, each: Wanted) -> None:
        """Write a label into the fields that lack it."""
        word = key(each.label)
        entry = self.entries.get(word)
        if entry is None or entry.state:
            entry = OwnEntry(
                "", by=each.by, model=self.model, score=None if each.score is None else round(each.score, 4)
            )
        # without a `/` or `|`: programs would read levels of a hierarchy
        fit = [SUBJECT] if any(not field.holds((each.label,)) for field in WRITTEN) else WRITTEN
        fresh = [field for field in fit if not self.shows(field, word) and not self.would_hide(field)]
        if not fresh:
            return
        if not entry.fields:
            self.added.append(each.label)
        for field in fresh:
            self.put(field, entry.value or each.label)
        names = tuple(field.name for field in WRITTEN if field.name in entry.fields or field in fresh)
        seen = tuple(field.name for field in WRITTEN if field.name not in names and self.shows(field, word))
        self.entries[word] = msgspec.structs.replace(entry, value=entry.value or each.label, fields=names, seen=seen)

    def would_hide(self, field: Field) -> bool:
        """Return whether a new field would hide a keyword that it cannot hold: readers stop at the first field."""
        public = (each.path for each in self.known if each.path[0] not in PRIVATE)
        return not self.texts[field] and not all(map(field.holds, public))

    def drop_copies(self) -> None:
        """Take out copies of keywords that a person has removed."""
        there = {level for each in self.known for level in _all_levels(keys(each.path))}
        kept = []
        for copy in self.copies:
            path = keys(BY_NAME[copy.fields[0]].path(copy.value))
            if path in there:
                kept.append(copy)
            else:
                self.take_out(copy)
        self.copies = kept

    def copy(self, no: Collection[str]) -> None:
        """Put the keywords of a person that a field lacks into it: readers stop at the first field that has any."""
        closed = {word for word, entry in self.entries.items() if entry.state} | set(no)
        before = {(name, spelling(each.value)) for each in self.copies for name in each.fields}
        # deep ones first: each shows its upper levels too
        for keyword in sorted(self.known, key=lambda keyword: -len(keyword.path)):
            path = tuple(level for level in keyword.path if is_shown(level))
            if not path or path[0] in PRIVATE or key(path[-1]) in closed or not all(map(writable, path)):
                continue
            for field in WRITTEN:
                shown = keys(path if field.separator else path[-1:]) in self.levels[field]
                if self.texts[field] and field.holds(path) and not shown:
                    text = field.text(path)
                    # once written and gone since: somebody has removed it there
                    if (field.name, spelling(text)) not in before:
                        self.put(field, text)
                        origin = "picture" if keyword in self.outside else ""
                        self.copies.append(OwnEntry(text, "copy", (field.name,), by=origin))

    def merged(self, created: bool) -> Merged:
        """Return the result; the packet is the same one where nothing is new."""
        entries = [*self.entries.values(), *self.copies, *self.kept]
        packet = self.packet
        if created and entries:
            entries.append(OwnEntry("", "sidecar"))
        changed = any(self.add.values()) or any(self.remove.values()) or entries != self.in_order()
        if changed:
            packet = packet.with_keywords(self.add, self.remove, entries)
        if not any(each.kind in ("keyword", "copy") for each in entries):
            packet = without_ours(packet)
        unwritable = list(dict.fromkeys(self.unwritable))
        return Merged(packet, self.added, self.removed, self.deleted, self.adopted, unwritable)

    def in_order(self) -> list[OwnEntry]:
        """Return our entries in the order in which they are written."""
        entries = self.packet.ours()
        order = {"keyword": 0, "copy": 1, "replaced": 2, "sidecar": 2}
        return sorted(entries, key=lambda each: order[each.kind])


def _fields(entry: OwnEntry) -> list[Field]:
    return [field for field in WRITTEN if field.name in entry.fields]


def _is_decided_since(wanted: Wanted, entry: OwnEntry) -> bool:
    """Return whether a closed label is wanted again: by a decision that is newer, or since it was only withdrawn."""
    if entry.state == "deleted":
        return wanted.by != "model" and wanted.at > entry.at
    return entry.state == "withdrawn"


def _levels(field: Field, texts: Iterable[str]) -> set[tuple[str, ...]]:
    """Return what keywords of a field show, as keys: every level by itself, and every path from the top."""
    return {level for text in texts for level in _all_levels(keys(field.path(text)))}


def _all_levels(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield from ((level,) for level in path)
    yield from (path[:end] for end in range(2, len(path) + 1))
