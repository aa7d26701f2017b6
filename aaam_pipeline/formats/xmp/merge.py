"""What was last written, what is there, and what is wanted: the three-way merge of a packet's keywords.

A keyword of ours that is gone was deleted by somebody, and stays deleted. One that has become another (in a tree, in
capitals) was taken over by somebody, and is ours no more. What a person wrote is never removed.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from aaam_pipeline.formats.xmp.fields import Keyword, key
from aaam_pipeline.formats.xmp.packet import Packet
from aaam_pipeline.formats.xmp.record import OwnEntry
from aaam_pipeline.formats.xmp.three_way import Merged, ThreeWay, Wanted, always, without_ours

__all__ = ["Merged", "Wanted", "closed", "deleted_since", "merge", "without_ours"]


def merge(
    packet: Packet,
    wanted: Sequence[Wanted],
    *,
    refused: Collection[str] = (),
    deleted: Collection[str] = (),
    model: str = "",
    at: str = "",
    concerned: Callable[[str], bool] = always,
    others: Iterable[Keyword] = (),
    created: bool = False,
) -> Merged:
    """Merge labels into a packet; the packet is the same one where nothing is new.

    `refused`: labels that a decision says are not shown; they are not written, and removed where they are ours.
    `deleted`: labels of ours that somebody has removed from another sidecar of the photograph.
    `model`: which one gave the scores; `at`: the time that a deletion is noticed at. `concerned` tells for a label
    whether it is one of this run's: others of ours stay as they are. `others`: keywords of a person that the picture
    itself holds, which its sidecar would hide: copies of them stay only as long as they are given. `created`: the
    packet is a new sidecar of ours.

    Raises:
        XmpError: a field is written in a way that is not understood.
    """
    return ThreeWay(packet, others, model, at, concerned, deleted).run(wanted, refused, created)


def deleted_since(packet: Packet) -> list[OwnEntry]:
    """Return what we wrote of each label that somebody has removed since."""
    gone = set(map(key, ThreeWay(packet).looked_at().deleted))
    return [each for each in packet.ours() if each.kind == "keyword" and key(each.value) in gone]


def closed(packet: Packet) -> list[OwnEntry]:
    """Return what we wrote of each label that somebody has removed, now or before a run that noticed it."""
    return [each for each in ThreeWay(packet).looked_at().entries.values() if each.state == "deleted"]
