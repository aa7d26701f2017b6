"""One photograph: its sidecars are read, merged with its labels, and written only where something is new."""

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from aaam_pipeline.exchange.keywords import Note, files
from aaam_pipeline.exchange.keywords.photographs import Photograph
from aaam_pipeline.exchange.keywords.places import Finder, Places, is_litter
from aaam_pipeline.formats import iptc, packets, xmp
from aaam_pipeline.formats.decisions import Decision, label_key
from aaam_pipeline.formats.packets import EmbeddedNotes, PacketError
from aaam_pipeline.formats.xmp import Keyword, Merged, OwnEntry, Packet, XmpError

Action = Literal["create", "update", "remove", "embed"]
SOURCE = "xmp"
TRIES = 5


class LeftOutError(Exception):
    """A photograph that gets no keywords, for a reason that is no failure."""


class Change(NamedTuple):
    """What happens to a sidecar, or (`embed`) to a photograph itself, and to the keywords that are ours in it.

    `deleted`: those that somebody has removed, and that stay so; `unwritable`: labels that XML cannot hold.
    """

    sidecar: Path
    action: Action
    added: list[str]
    removed: list[str]
    deleted: list[str]
    adopted: list[str]


class Plan(NamedTuple):
    """What is to be done for a photograph: each sidecar as it was read, and after the merge (None: it is removed)."""

    changes: list[tuple[Change, bytes | None, Packet | None]]
    decisions: list[Decision]
    unwritable: list[str]


class Sidecars:
    """Writes keywords of one photograph after the other; `model`, `at`: what the record says of them.

    `concerned`: tells which labels are written and removed; `note`: adds decisions to the ledger; `reads_pictures`:
    looks in every picture for keywords of ours that somebody has removed.
    """

    def __init__(
        self, finder: Finder, note: Note, *, model: str, at: str, concerned: Callable[[str], bool], dry_run: bool,
        reads_pictures: bool = False,
    ) -> None:  # fmt: skip
        self.finder, self.note, self.model, self.at = finder, note, model, at
        self.concerned, self.dry_run, self.reads_pictures = concerned, dry_run, reads_pictures

    def write(self, photograph: Photograph) -> Plan:
        """Write the keywords of a photograph; return what was done, or would be.

        A sidecar that another program changes meanwhile is merged again.

        Raises:
            LeftOutError: it gets none: it is gone, was changed, or is no file of this machine.
            XmpError, OSError: a sidecar cannot be read or written; it is as it was.
        """
        file, status = located(photograph)
        places = self.finder.places(file)
        noted: list[Decision] = []
        for _ in range(TRIES):
            plan = self.planned(photograph, places, file, status)
            if self.dry_run or not (plan.changes or plan.decisions):
                return plan
            # first what a person has decided by deleting it: the sidecar forgets it
            self.note([each for each in plan.decisions if each not in noted])
            noted += plan.decisions
            if all(self.put(change, before, packet, status) for change, before, packet in plan.changes):
                return plan
            places = self.finder.places(file)
        raise files.BusyError("another program changes the sidecar all the time")

    def planned(self, photograph: Photograph, places: Places, file: Path, status: os.stat_result) -> Plan:
        """Return what a photograph's sidecars become.

        Raises:
            XmpError, OSError: one of them cannot be read.
        """
        read = ((path, files.read(path)) for path in places.existing)
        found = [(path, content, parsed(path, content)) for path, content in read if content is not None]
        picture = PictureContent(file)
        gone = {label_key(each.value): each for each in self.deleted_inside(photograph, found, picture, status)}
        gone |= {label_key(each.value): each for _, _, packet in found for each in xmp.deleted_since(packet)}
        known = set(map(label_key, photograph.refused))
        decisions = deletions(photograph.sha256, [each for key, each in gone.items() if key not in known], self.at)
        if not found and not photograph.wanted:
            return Plan([], decisions, [])
        changes: list[tuple[Change, bytes | None, Packet | None]] = []
        unwritable: dict[str, None] = {}
        none: list[tuple[Path, bytes | None, Packet]] = [(places.new, None, xmp.EMPTY)]
        for path, before, packet in found or none:
            others = self.others(path, before, packet, places, picture, status)
            merged = xmp.merge(
                packet,
                photograph.wanted,
                refused=photograph.refused,
                deleted=[entry.value for entry in gone.values()],
                model=self.model,
                at=self.at,
                concerned=self.concerned,
                others=others,
                created=before is None,
            )
            unwritable |= dict.fromkeys(merged.unwritable)
            if merged.packet is not packet:
                changes.append(_change(path, before, packet, merged))
        return Plan(changes, decisions, list(unwritable))

    def deleted_inside(
        self,
        photograph: Photograph,
        found: Sequence[tuple[Path, bytes, Packet]],
        picture: "PictureContent",
        status: os.stat_result,
    ) -> list[OwnEntry]:
        """Return what we wrote into the picture itself and somebody has removed, now or earlier.

        The picture is read where it is newer than a sidecar. A decision that shows the label comes first.
        """
        is_older = all(path.stat().st_mtime_ns >= status.st_mtime_ns for path, _, _ in found)
        if found and is_older and not self.reads_pictures:
            return []
        decided = {label_key(each.label) for each in photograph.wanted if each.by != "model"}
        gone = xmp.closed(picture.packet) if picture.packet else []
        return [each for each in gone if label_key(each.value) not in decided]

    def others(
        self,
        path: Path,
        before: bytes | None,
        packet: Packet,
        places: Places,
        picture: "PictureContent",
        status: os.stat_result,
    ) -> list[Keyword]:
        """Return the keywords that a sidecar of ours would hide: those in the picture, and in a read-only sidecar."""
        ours = packet.ours()
        if before is not None:
            copies = any(each.by == "picture" for each in ours if each.kind == "copy")
            newer = status.st_mtime_ns > path.stat().st_mtime_ns
            if not any(each.kind == "sidecar" for each in ours) or not (copies or newer or places.hidden):
                return []
        hidden = [parsed(each, content) for each in places.hidden if (content := files.read(each))]
        return [*(keyword for each in hidden for keyword in each.theirs()), *picture.keywords]

    def put(self, change: Change, before: bytes | None, packet: Packet | None, photograph: os.stat_result) -> bool:
        """Write or remove a sidecar; return False where it is another one than was read."""
        # the file itself, whatever link leads to it
        path = change.sidecar.resolve()
        with files.locked(path):
            if files.read(path) != before:
                return False
            if packet is None:
                path.unlink(missing_ok=True)
            else:
                files.replace(path, packet.to_bytes(), path.stat() if before is not None else photograph)
        return True


def located(photograph: Photograph) -> tuple[Path, os.stat_result]:
    """Return a photograph's file, and its status.

    Raises:
        LeftOutError: there is none, it is another one than was annotated, or it is no photograph of a person.
    """
    file = photograph.file
    if file is None:
        raise LeftOutError("behind a URL")
    if is_litter(photograph.path):
        raise LeftOutError("a file of the system")
    try:
        status = file.stat()
    except (OSError, ValueError):
        inside = any(parent.is_file() for parent in file.parents)
        raise LeftOutError("inside an archive" if inside else "gone") from None
    if (status.st_size, status.st_mtime_ns // 1000) != (photograph.bytes, photograph.mtime):
        raise LeftOutError("changed since they were annotated")
    return file, status


class PictureContent:
    """What is in a picture file itself, read when it is asked for; what is damaged has nothing."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @cached_property
    def packet(self) -> Packet | None:
        """Its XMP packet."""
        try:
            return xmp.parse(self._notes.xmp) if self._notes.xmp else None
        except XmpError:
            return None

    @cached_property
    def _notes(self) -> EmbeddedNotes:
        try:
            return packets.read_file(self.file)
        except (PacketError, OSError):
            return EmbeddedNotes()

    @property
    def keywords(self) -> list[Keyword]:
        """Return the keywords of a person, in XMP and IPTC."""
        records = iptc.keywords(self._notes.iptc) if self._notes.iptc else []
        theirs = self.packet.theirs() if self.packet else []
        return [*theirs, *(Keyword((text,), "iptc", text) for text in records)]


def deletions(sha256: str, gone: Sequence[OwnEntry], at: str) -> list[Decision]:
    """Return what the ledger is told of labels of ours that somebody has removed."""
    return [
        Decision(
            sha256=sha256,
            label=entry.value,
            value="no",
            by="file",
            source=SOURCE,
            at=at,
            model=entry.model or None,
            score=entry.score,
        )
        for entry in gone
    ]


def parsed(path: Path, content: bytes) -> Packet:
    """Return a sidecar's packet.

    Raises:
        XmpError: it is none; names the sidecar.
    """
    try:
        return xmp.parse(content)
    except XmpError as error:
        raise XmpError(f"{path.name} {error}") from None


def _change(
    path: Path, before: bytes | None, packet: Packet, merged: Merged
) -> tuple[Change, bytes | None, Packet | None]:
    """Return what a merge does to a sidecar; one of ours that holds nothing else any more is removed."""
    after = None if is_left_empty(packet, merged.packet) else merged.packet
    action: Action = "create" if before is None else "remove" if after is None else "update"
    change = Change(path, action, merged.added, merged.removed, merged.deleted, merged.adopted)
    return change, before, after


def is_left_empty(before: Packet, after: Packet) -> bool:
    """Return whether a sidecar that we made has nothing in it any more."""
    return any(each.kind == "sidecar" for each in before.ours()) and after.is_empty()
