"""Hits for tests."""

from pathlib import Path

from aaam_pipeline.search import Hit


def hit(path: Path, labels: tuple[str, ...] = (), score: float = 0.5) -> Hit:
    return Hit(path.name, str(path.parent), score, list(labels), {})
