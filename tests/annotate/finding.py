"""What tests of inputs share: empty stand-ins of images, and `inputs.find` as a list."""

from collections import Counter
from pathlib import Path

from aaam_pipeline.annotate import inputs
from aaam_pipeline.annotate.inputs import InputItem, Selection


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def find(*given: Path | str, skipped: Counter[str] | None = None, **options: object) -> list[InputItem]:
    return list(inputs.find(given, Selection(**options), skipped))


def paths(*given: Path | str, **options: object) -> list[str]:
    return [item.path for item in find(*given, **options)]
