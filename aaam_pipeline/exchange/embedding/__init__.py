"""XMP packets written into photographs: only the packet changes, and what was there can be put back byte for byte.

- `replacing`: a new file beside the old one, checked, which takes its place in one step.
- `journal`: what each file held before, on disk before the file changes.
- `packet_writer`: both for many files, in groups, with the lines of the ledger that keep their rows and decisions.
"""

from aaam_pipeline.exchange.embedding.packet_writer import PacketWriter, count, undo
from aaam_pipeline.exchange.embedding.replacing import FORCES, Force, check, would_embed

__all__ = ["FORCES", "Force", "PacketWriter", "check", "count", "undo", "would_embed"]
