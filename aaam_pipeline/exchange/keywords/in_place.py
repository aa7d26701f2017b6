"""One photograph: its own packet is merged with its labels, and written into the file only where something is new.

A photograph of a format that takes no packet, and a raw file, gets a sidecar. A sidecar that is there is brought up to
date, too: programs that look for sidecars read it first.
"""

from collections.abc import Sequence
from pathlib import Path

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.exchange import embedding
from aaam_pipeline.exchange.embedding import Force, PacketWriter, packet_writer, replacing
from aaam_pipeline.exchange.embedding.packet_writer import Append
from aaam_pipeline.exchange.keywords import Note
from aaam_pipeline.exchange.keywords.photographs import Photograph
from aaam_pipeline.exchange.keywords.sidecars import Change, LeftOutError, Plan, Sidecars, deletions, located
from aaam_pipeline.formats import iptc, packets, xmp
from aaam_pipeline.formats.decisions import Decisions, label_key
from aaam_pipeline.formats.packets import EmbeddedNotes, PacketError
from aaam_pipeline.formats.xmp import Keyword, Packet, XmpError
from aaam_pipeline.formats.xmp.fields import spelling

# white space in a new packet, so that other programs can change it in its place (XMP specification, part 3, 1)
PADDING = 2048
# what was asked for when keywords were written into a file holds when they are taken out
WRITTEN_INTO: tuple[Force, ...] = ("trailing", "links")
# files that get a sidecar
ELSEWHERE = ("raw", "unsupported")


class InPlace:
    """Writes keywords into one photograph after the other; `same` tells which contents are one photograph."""

    def __init__(self, sidecars: Sidecars, writer: PacketWriter, same: Decisions) -> None:
        self.sidecars, self.writer, self.same = sidecars, writer, same

    def write(self, photograph: Photograph) -> Plan:
        """Write the keywords of a photograph; return what was done, or would be.

        Raises:
            LeftOutError: it gets none: it is gone, was changed, or would be harmed.
            PacketError, XmpError, OSError: it cannot be read or written; it is as it was.
        """
        photograph = self.current(photograph)
        file, _ = located(photograph)
        try:
            embedding.check(file, self.writer.force)
        except PacketError as error:
            if error.kind in ELSEWHERE:
                return self.sidecars.write(photograph)
            raise _left_out(error) from None
        beside = self.sidecars.finder.beside(file).existing
        plan = self.sidecars.write(photograph) if beside else Plan([], [], [])
        changes, decisions, unwritable = self.embed(photograph, file, [each.label for each in plan.decisions])
        known = {each.label for each in plan.decisions}
        decisions = [each for each in decisions if each.label not in known]
        return Plan([*plan.changes, *changes], [*plan.decisions, *decisions], [*plan.unwritable, *unwritable])

    def current(self, photograph: Photograph) -> Photograph:
        """Return a photograph as it is in its file, where keywords were written into that since it was annotated."""
        if photograph.file is None or self.same.photographs([photograph.sha256])[0] < 0:
            return photograph
        try:
            status = photograph.file.stat()
            if (status.st_size, status.st_mtime_ns // 1000) == (photograph.bytes, photograph.mtime):
                return photograph
            found = file_sha256(photograph.file)
        except (OSError, ValueError):
            return photograph
        one, other = self.same.photographs([found, photograph.sha256]).tolist()
        if one != other:
            return photograph
        return photograph._replace(sha256=found, bytes=status.st_size, mtime=status.st_mtime_ns // 1000)

    def embed(self, photograph: Photograph, file: Path, deleted: Sequence[str]) -> Plan:
        """Merge the packet of a file with the labels of its photograph, and write it.

        `deleted`: labels of ours that somebody has removed from a sidecar.
        """
        notes = packets.read_file(file)
        packet = _packet(notes)
        gone = xmp.deleted_since(packet)
        denied = set(map(label_key, photograph.refused))
        new = [entry for entry in gone if label_key(entry.value) not in denied]
        decisions = deletions(photograph.sha256, new, self.sidecars.at)
        merged = xmp.merge(
            packet,
            photograph.wanted,
            refused=photograph.refused,
            deleted=[*deleted, *(entry.value for entry in gone)],
            model=self.sidecars.model,
            at=self.sidecars.at,
            concerned=self.sidecars.concerned,
            others=_of_iptc(notes, packet),
        )
        if not self.sidecars.dry_run:
            self.sidecars.note(decisions)
        if merged.packet is packet:
            return Plan([], decisions, merged.unwritable)
        self.put(file, notes.xmp, merged.packet)
        change = Change(file, "embed", merged.added, merged.removed, merged.deleted, merged.adopted)
        return Plan([(change, notes.xmp, merged.packet)], decisions, merged.unwritable)

    def put(self, file: Path, before: bytes | None, packet: Packet) -> None:
        """Write a packet, with room for later changes where it needs a new place."""
        plain, roomy = packet.to_bytes(padding=0), packet.to_bytes(padding=PADDING)
        choices = [plain] if before is not None and len(plain) <= len(before) else [roomy, plain]
        for number, content in enumerate(choices, 1):
            try:
                if self.sidecars.dry_run:
                    embedding.would_embed(file, content, self.writer.force)
                else:
                    self.writer.embed(file, content)
                return
            except PacketError as error:
                if error.kind == "too_large" and number < len(choices):
                    continue
                raise _left_out(error) from None


def _packet(notes: EmbeddedNotes) -> Packet:
    """Return the packet of a file, an empty one where it has none.

    Raises:
        XmpError: it cannot be read, or cannot be changed without harm.
    """
    try:
        packet = xmp.parse(notes.xmp) if notes.xmp else xmp.EMPTY
        if packet.encoding != "utf-8":
            raise XmpError(f"is in {packet.encoding}, which no picture has")
        if notes.extension and xmp.parse(notes.extension).keywords():
            raise XmpError("has its keywords in an extension (it is larger than 64 KB)")
    except XmpError as error:
        raise XmpError(f"its XMP packet {error}") from None
    return packet


def _left_out(error: PacketError) -> Exception:
    """Return what is raised for a file that would be harmed: it is left out, and no failure; damage is one."""
    if error.kind == "damaged":
        return error
    advice = f"; --force-{error.kind} writes it nevertheless" if error.kind in embedding.FORCES else ""
    return LeftOutError(f"{error}{advice}")


def _of_iptc(notes: EmbeddedNotes, packet: Packet) -> list[Keyword]:
    """Return the keywords of IPTC, which XMP would hide; those that IPTC has cut off are in XMP already."""
    known = [spelling(level) for keyword in packet.keywords() for level in keyword.path]
    found = map(spelling, iptc.keywords(notes.iptc or b""))
    cut = iptc.LONGEST - 3
    return [
        Keyword((text,), "iptc", text)
        for text in found
        if not (len(text.encode()) >= cut and any(each.startswith(text) for each in known))
    ]


def take_out(file: Path, append: Append, note: Note) -> bool:
    """Take what we wrote out of a file that somebody has changed since; return whether there is nothing of ours left.

    `append` adds to the ledger that both contents are one photograph, `note` that a keyword of ours was removed.
    """
    try:
        content = packets.read_file(file).xmp
        packet = xmp.parse(content) if content else None
        if packet is None or not packet.ours():
            return True
        target = replacing.check(file, WRITTEN_INTO)
        new = replacing.with_packet(target, xmp.without_ours(packet).to_bytes(padding=0), WRITTEN_INTO)
        if new is not None:
            note(deletions(new.before, xmp.deleted_since(packet), ""))
            append([packet_writer.inheritance(new)])
            replacing.put_in_place(new, None)
    except (PacketError, XmpError, OSError):
        return False
    return True
