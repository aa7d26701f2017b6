"""How long it takes to read a ledger of decisions, and to ask it, beside `json` and dictionaries.

Made: 300 words, a third as many photographs as lines, one value in ten taken back. The alternative is the loop that one
writes first: each line through `json`, the values in a dictionary by photograph, word and rank.
"""

import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aaam_pipeline.formats import decisions
from benchmarks.table import Report

MINUTES = (0.2, 0.7)
WORDS = 300
RANKS = ("model", "file", "person")
LABELS = [f"word {number}" for number in range(WORDS)]


def run(report: Report, full: bool = False) -> None:
    """Read ledgers of several sizes, then ask the largest."""
    add = report.table("reading a ledger, one core", ["lines", "MB", "ours: CPU time, s", "json and dict: CPU time, s"])
    with tempfile.TemporaryDirectory() as folder:
        for size in (100_000, 1_000_000) if full else (100_000,):
            path = Path(folder) / f"{size}.jsonl"
            _write(path, size)
            # by turns: the machine may be another one a second later
            times = [(_seconds(decisions.read, path), _seconds(_loop, path)) for _ in range(3)]
            ours, loop = map(min, zip(*times, strict=True))
            add([f"{size:,}", f"{path.stat().st_size / 1e6:.0f}", f"{ours:.2f}", f"{loop:.2f}"])
        read = decisions.read(path)
        hashes = [each.hex() for each in _chunks(read.contents().tobytes())]
        asked = report.table(f"asking a ledger of {size:,} lines", ["question", "CPU time, ms"])
        asked(["contents of a word", f"{1000 * _seconds(read.of_label, 'word 7'):.2f}"])
        asked(["words of a photograph", f"{1000 * _seconds(read.of_image, hashes[7]):.2f}"])
        name = f"{len(hashes):,} photographs x {WORDS} words"
        asked([name, f"{1000 * _seconds(read.matrix, hashes, LABELS):.0f}"])


def _write(path: Path, size: int) -> None:
    chance = random.Random(1)
    hashes = [chance.randbytes(32).hex() for _ in range(size // 3)]
    with path.open("wb") as stream:
        for number in range(size):
            stream.write(
                decisions.encode(
                    decisions.Decision(
                        sha256=chance.choice(hashes),
                        label=chance.choice(LABELS),
                        value=chance.choices(("yes", "no", "clear"), (6, 3, 1))[0],
                        by=chance.choice(RANKS),  # type: ignore[arg-type]
                        source="anna",
                        at=f"2026-11-29T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z",
                        model="efficientnet-lite2-0123456789ab",
                        score=round(chance.random(), 4),
                        batch=f"{number // 100:012x}",
                    )
                )
            )


def _loop(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the lines that hold, by photograph and word, then by rank: the last of which wins."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    with path.open(encoding="utf8") as stream:
        for text in stream:
            line = json.loads(text)
            ranks = found.setdefault((line["sha256"], line["label"].casefold()), {})
            if line["value"] == "clear":
                for rank in RANKS[: RANKS.index(line["by"]) + 1]:
                    ranks.pop(rank, None)
            else:
                ranks[line["by"]] = line
    return found


def _chunks(content: bytes) -> list[bytes]:
    return [content[start : start + 32] for start in range(0, len(content), 32)]


def _seconds(function: Callable[..., object], *arguments: object) -> float:
    started = time.process_time()
    function(*arguments)
    return time.process_time() - started
