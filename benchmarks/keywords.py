"""How long keywords in photographs take: to read, beside Pillow, and to write into the files and take out again.

Made: JPEGs of noise of 0.5 megapixels, every other one with keywords in two fields of XMP. Written is one packet for
each; CPU time alone counts, since the rest is how long a disk takes to sync.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.exchange import embedding
from aaam_pipeline.formats import file_keywords, packets, xmp
from benchmarks.table import Report

MINUTES = (0.2, 0.6)
WANTED = [xmp.Wanted("dog", 0.9), xmp.Wanted("cat", 0.8), xmp.Wanted("grass", 0.7)]


def run(report: Report, full: bool = False) -> None:
    """Read the keywords of all photographs, then write some into each, and take them out."""
    count = 2000 if full else 300
    packet = xmp.merge(xmp.EMPTY, WANTED, at="2026-11-29T10:00:00Z", model="toy").packet.to_bytes(padding=2048)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = _made(folder / "photos", count, packet)
        size = sum(photo.stat().st_size for photo in photos) / count / 1e6
        add = report.table(f"{count:,} photographs of {size:.1f} MB, one core", ["what", "ms a photograph", "a second"])
        add(_row("keywords read", count, lambda: [file_keywords.read(photo) for photo in photos]))
        add(_row("Pillow: opened, and the packet's bytes", count, lambda: [_by_pillow(photo) for photo in photos]))
        work, ledger = folder / "work", Ledger(folder / "decisions.jsonl")

        def write() -> None:
            with embedding.PacketWriter(work, ledger.append) as writer:
                for photo in photos:
                    writer.embed(photo, packet + b" ")

        add(_row("a packet written into each", count, write))
        add(_row("taken out again, byte for byte", count, lambda: embedding.undo(work)))


def _made(folder: Path, count: int, packet: bytes) -> list[Path]:
    folder.mkdir()
    pixels = np.random.default_rng(1).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "0.jpg", quality=90)
    plain = (folder / "0.jpg").read_bytes()
    # of a person: without the record of what is ours
    theirs = xmp.parse(packet)
    words = {field: [each.label for each in WANTED] for field in ("dc:subject", "lr:hierarchicalSubject")}
    theirs = xmp.without_ours(theirs).with_keywords(words, {}, [])
    noted = b"".join(packets.spliced(plain, packets.replaced(plain, theirs.to_bytes(padding=2048))))
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(noted if number % 2 else plain)
    return [folder / f"{number}.jpg" for number in range(count)]


def _by_pillow(photo: Path) -> bytes | None:
    with Image.open(photo) as image:
        found: bytes | None = image.info.get("xmp")
        return found


def _row(what: str, count: int, work: Callable[[], object]) -> Sequence[str]:
    began = time.process_time()
    work()
    seconds = (time.process_time() - began) / count
    return [what, f"{1000 * seconds:.2f}", f"{1 / seconds:,.0f}"]
