"""Decisions about dogs by the number of a photograph, and what a ledger says of them."""

from pathlib import Path
from typing import Any

from aaam_pipeline.formats.decisions import Decision, read


def said(number: int, value: Any = "yes", **more: Any) -> Decision:
    return Decision(sha256=f"{number:064x}", label="dog", value=value, by="person", **more)


def decided(path: Path) -> list[int]:
    read_now = read(path)
    assert read_now.skipped == 0
    yes, _ = read_now.of_label("dog")
    content = yes.tobytes()
    return [int.from_bytes(content[start : start + 32], "big") for start in range(0, len(content), 32)]
