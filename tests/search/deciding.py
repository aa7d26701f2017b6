"""The toy images with contents, and decisions on them."""

from pathlib import Path

import msgspec
from search.toy_index import IMAGES

from aaam_pipeline.formats import decisions
from aaam_pipeline.formats.decisions import Decision
from aaam_pipeline.search.thesaurus import Thesaurus

THESAURUS = Thesaurus(
    synonyms={"person": ["human"]}, parents={"outside": ["grass", "sky"]}, plurals={"person": "people"}
)


def digest(id: int) -> str:
    """Return the SHA-256 of an image; 7 and 8 are two files of the same bytes."""
    return f"{(8 if id == 7 else id) * 7919 + 1:x}".rjust(8, "f").ljust(64, "0")


DIGESTS = [digest(id) if id < IMAGES - 5 else None for id in range(IMAGES)]
"""Of the last images no digest is known."""


def decide(ledger: Path, label: str, yes: tuple[int, ...] = (), no: tuple[int, ...] = (), **more: str) -> None:
    """Append decisions to a ledger."""
    facts = {"by": "person", "source": "anna", "at": "2026-11-29T10:00:00Z"} | more
    values = [(id, "yes") for id in yes] + [(id, "no") for id in no]
    with ledger.open("ab") as stream:
        for id, value in values:
            line = {"sha256": digest(id), "label": label, "value": value, **facts}
            stream.write(decisions.encode(msgspec.convert(line, Decision)))
