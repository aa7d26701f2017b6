"""XMP packets, as photo programs keep keywords in: read in every spelling of RDF, changed in their text only.

- `tree`: a packet's text as a tree whose elements know their place in it; no DTD, no entities.
- `fields`: the properties that hold keywords, and how each writes a hierarchy.
- `values`: what a property holds, and the text of new ones.
- `packet`: a packet, its keywords, and a packet with other keywords; all other text stays byte for byte.
- `record`: what this program wrote, in a namespace of its own.
- `merge`: what was last written, what is there, and what is wanted, made one; `three_way`: its steps.

    packet = xmp.parse(content)             # or xmp.EMPTY
    packet.keywords(), packet.ours()
    merged = xmp.merge(packet, wanted, refused=..., model=..., at=...)
    merged.packet.to_bytes(padding=2048)
    xmp.without_ours(packet)
"""

from aaam_pipeline.formats.xmp.fields import Keyword
from aaam_pipeline.formats.xmp.merge import Merged, Wanted, closed, deleted_since, merge, without_ours
from aaam_pipeline.formats.xmp.packet import EMPTY, Packet, parse
from aaam_pipeline.formats.xmp.record import OwnEntry
from aaam_pipeline.formats.xmp.tree import XmpError

__all__ = [
    "EMPTY",
    "Keyword",
    "Merged",
    "OwnEntry",
    "Packet",
    "Wanted",
    "XmpError",
    "closed",
    "deleted_since",
    "merge",
    "parse",
    "without_ours",
]
