"""What tests of inputs share: empty stand-ins of images, and `sources.find` as a list."""

from collections import Counter
from pathlib import Path

from aaam_pipeline.annotate import sources
from aaam_pipeline.annotate.sources import Selection, Source


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def find(*inputs: Path | str, skipped: Counter[str] | None = None, **options: object) -> list[Source]:
    return list(sources.find(inputs, Selection(**options), skipped))


def paths(*inputs: Path | str, **options: object) -> list[str]:
    return [source.path for source in find(*inputs, **options)]
